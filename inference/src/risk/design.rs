//! From values to columns: what a weight is learned for.

use super::fields::{Fields, Kind};
use super::reading::{Value, Values};

/// The columns of a person; what is not known has none, and so counts as the average.
pub(crate) type Row = Vec<Option<f64>>;

/// The columns of values, in the order of [`Fields::columns`].
pub(crate) fn row(fields: &Fields, values: &Values) -> Row {
    let mut row = Vec::new();
    for (at, field) in fields.fields.iter().enumerate() {
        let value = values.get(at);
        match field.kind {
            Kind::Number => {
                let number = value.and_then(|value| match value {
                    Value::Number(number) => Some(number),
                    Value::Category(_) => None,
                });
                row.push(number);
                row.extend(field.knots.iter().map(|knot| number.map(|number| (number - knot).max(0.0))));
            }
            Kind::Category | Kind::YesNo => {
                let category = value.and_then(|value| match value {
                    Value::Category(at) => Some(at),
                    Value::Number(_) => None,
                });
                let first = if field.categories.len() == 2 { 1 } else { 0 };
                row.extend(
                    (first..field.categories.len())
                        .map(|own| category.map(|category| if category == own { 1.0 } else { 0.0 })),
                );
            }
        }
        if fields.learning.indicate_missing {
            row.push(Some(if value.is_none() { 1.0 } else { 0.0 }));
        }
    }
    row
}

/// How many columns each field has.
pub(crate) fn widths(fields: &Fields) -> Vec<usize> {
    let indicate = fields.learning.indicate_missing;
    fields.fields.iter().map(|field| field.columns(indicate).len()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::RISK_MODELS;
    use super::*;

    #[test]
    fn rows_are_as_wide_as_their_columns_have_names() {
        for model in RISK_MODELS {
            let fields = Fields::of(model).unwrap();
            let row = row(&fields, &Values::none(&fields));
            assert_eq!(row.len(), fields.columns().len());
            assert_eq!(widths(&fields).iter().sum::<usize>(), row.len());
        }
    }

    #[test]
    fn numbers_bend_at_their_knots_and_categories_are_one_of() {
        let fields = Fields::of(super::super::READMISSION_MODEL).unwrap();
        let at = fields.find("number_inpatient").unwrap();
        let mut values = Values::none(&fields);
        values.set(at, Some(Value::Number(3.0)));
        let before: usize = widths(&fields)[..at].iter().sum();
        let knots = &fields.fields[at].knots;
        let row = row(&fields, &values);
        assert_eq!(row[before], Some(3.0));
        for (index, knot) in knots.iter().enumerate() {
            assert_eq!(row[before + 1 + index], Some((3.0 - knot).max(0.0)));
        }
    }
}
