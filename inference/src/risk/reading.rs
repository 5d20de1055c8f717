//! From text to values: everything that is out of range, in a unit that is not known, or no value at all is refused
//! by the name of its field, and never repeated in the refusal.

use std::fmt;

use super::fields::{Category, Field, Fields, Kind, folded};

/// Texts that mean that a value is not known, whatever the case.
const ABSENT: [&str; 6] = ["", "?", "na", "n/a", "null", "unknown"];
/// The longest text of a value.
const MAX_TEXT: usize = 200;

/// What is known of a field.
#[derive(Clone, Copy, PartialEq)]
pub enum Value {
    /// In the field's own unit.
    Number(f64),
    /// The place of the category.
    Category(usize),
}

/// Without the value: it is health data.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Value::Number(_) => "Number",
            Value::Category(_) => "Category",
        })
    }
}

/// Values of the fields of a model, in their order; what is not known has none.
#[derive(Clone, PartialEq)]
pub struct Values(pub(crate) Vec<Option<Value>>);

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Values({} of {} known)", self.known(), self.0.len())
    }
}

/// Values that were read, and names that no field has.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The values.
    pub values: Values,
    /// Names that the model does not ask for.
    pub ignored: Vec<String>,
}

/// Why a value is refused. Names the field, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// No number.
    #[error("{field} is not a number{unit}")]
    NoNumber {
        /// The field's name.
        field: String,
        /// Its unit, in words.
        unit: String,
    },
    /// A number that cannot be, or that the model was not made for.
    #[error("{field} is outside of what the model takes: {low} to {high}{unit}")]
    OutOfRange {
        /// The field's name.
        field: String,
        /// The lowest that is taken.
        low: String,
        /// The highest.
        high: String,
        /// The unit.
        unit: String,
    },
    /// A unit that cannot be turned into the field's own.
    #[error("{field} is in a unit that is not read here: {units}")]
    Unit {
        /// The field's name.
        field: String,
        /// The units that are read.
        units: String,
    },
    /// None of those that there are.
    #[error("{field} is none of: {known}")]
    NoCategory {
        /// The field's name.
        field: String,
        /// Those that there are.
        known: String,
    },
    /// Two values for one field.
    #[error("{field} is given twice")]
    Twice {
        /// The field's name.
        field: String,
    },
    /// No field has this name.
    #[error("the model asks for nothing called {field}")]
    NoField {
        /// The name, shortened.
        field: String,
    },
}

impl Values {
    /// Nothing known.
    pub fn none(fields: &Fields) -> Values {
        Values(vec![None; fields.fields.len()])
    }

    /// How many are known.
    pub fn known(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// The places of those that are known.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(at, _)| at)
    }

    /// The value at a place.
    pub fn get(&self, at: usize) -> Option<Value> {
        self.0.get(at).copied().flatten()
    }

    /// Sets the value at a place; a place that no field has is passed over.
    pub fn set(&mut self, at: usize, value: Option<Value>) {
        if let Some(place) = self.0.get_mut(at) {
            *place = value;
        }
    }

    /// Reads values by the names of their fields. Names that no field has are told, not refused: tables hold more
    /// than is asked.
    ///
    /// # Errors
    /// [`ValueError`] for the first value that is refused.
    pub fn read<'a>(
        fields: &Fields,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Known, ValueError> {
        let (names, texts): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
        let header = Header::of(fields, names)?;
        Ok(Known { values: header.read(fields, texts)?, ignored: header.ignored })
    }
}

/// The names above the columns of a table, each with the field that is meant.
#[derive(Clone, Debug)]
pub struct Header {
    places: Vec<Option<usize>>,
    /// Names that no field has, shortened.
    pub ignored: Vec<String>,
}

impl Header {
    /// Finds the fields that are meant.
    ///
    /// # Errors
    /// [`ValueError::Twice`] when two columns mean one field.
    pub fn of<'a>(fields: &Fields, names: impl IntoIterator<Item = &'a str>) -> Result<Header, ValueError> {
        let mut header = Header { places: Vec::new(), ignored: Vec::new() };
        for name in names {
            let place = fields.find(name);
            match place {
                Some(at) if header.places.contains(&place) => {
                    return Err(ValueError::Twice { field: fields.fields[at].name.clone() });
                }
                Some(_) => {}
                None => header.ignored.push(name.chars().take(MAX_TEXT).collect()),
            }
            header.places.push(place);
        }
        Ok(header)
    }

    /// Whether any column means a field.
    pub fn is_any(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// Reads a row below the names.
    ///
    /// # Errors
    /// [`ValueError`] for the first value that is refused.
    pub fn read<'a>(
        &self,
        fields: &Fields,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Values, ValueError> {
        let mut values = Values::none(fields);
        for (place, text) in self.places.iter().zip(texts) {
            if let Some(at) = *place {
                values.0[at] = fields.fields[at].read(text)?;
            }
        }
        Ok(values)
    }
}

impl Field {
    /// Reads a text; `None` when it says that the value is not known.
    ///
    /// # Errors
    /// [`ValueError`] for what cannot be meant.
    pub fn read(&self, text: &str) -> Result<Option<Value>, ValueError> {
        let text = text.trim();
        if ABSENT.contains(&text.to_ascii_lowercase().as_str()) || self.absent.iter().any(|it| same(it, text))
        {
            return Ok(None);
        }
        match self.kind {
            Kind::Number => self.number(text).map(Some),
            Kind::Category | Kind::YesNo => self.category(text).map(Some),
        }
    }

    fn number(&self, text: &str) -> Result<Value, ValueError> {
        let no_number = || ValueError::NoNumber { field: self.name.clone(), unit: self.spoken_unit(" in ") };
        if text.len() > MAX_TEXT {
            return Err(no_number());
        }
        if let Some(number) = text.parse::<f64>().ok().or_else(|| middle(text)) {
            return self.checked(number);
        }
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
        let (number, unit) = text.split_at(text.find(|c| !is_number(c)).unwrap_or(text.len()));
        let number: f64 = number.parse().map_err(|_| no_number())?;
        self.quantity(number, unit.trim())
    }

    /// A number in a unit of UCUM.
    ///
    /// # Errors
    /// [`ValueError`] for a unit that is not known, and for what is out of range.
    pub fn quantity(&self, number: f64, unit: &str) -> Result<Value, ValueError> {
        match factor(unit, &self.unit, &self.units) {
            Some(factor) => self.checked(number * factor),
            None => Err(self.wrong_unit()),
        }
    }

    pub(crate) fn wrong_unit(&self) -> ValueError {
        let own = Some(self.unit.as_str()).filter(|unit| !unit.is_empty());
        let units: Vec<&str> = own.into_iter().chain(self.units.iter().map(|it| it.unit.as_str())).collect();
        let units = if units.is_empty() { "it has none".to_owned() } else { units.join(", ") };
        ValueError::Unit { field: self.name.clone(), units }
    }

    fn checked(&self, number: f64) -> Result<Value, ValueError> {
        if !number.is_finite() {
            return Err(ValueError::NoNumber { field: self.name.clone(), unit: self.spoken_unit(" in ") });
        }
        let [low, high] = self.range.unwrap_or([f64::MIN, f64::MAX]);
        if (low..=high).contains(&number) {
            return Ok(Value::Number(number));
        }
        Err(ValueError::OutOfRange {
            field: self.name.clone(),
            low: low.to_string(),
            high: high.to_string(),
            unit: self.spoken_unit(" "),
        })
    }

    fn spoken_unit(&self, before: &str) -> String {
        if self.unit.is_empty() { String::new() } else { format!("{before}{}", self.unit_in_words()) }
    }

    fn category(&self, text: &str) -> Result<Value, ValueError> {
        let is = |it: &Category| same(&it.name, text) || it.also.iter().any(|also| same(also, text));
        let named = self.categories.iter().position(is);
        let coded = || {
            let code = icd9(text)?;
            let holds = |it: &Category| {
                code.is_some_and(|code| it.icd9.iter().any(|[low, high]| (*low..=*high).contains(&code)))
            };
            let rest = || self.categories.iter().position(|it| it.icd9_rest);
            // Ranges that are narrower come first in the file.
            self.categories.iter().position(holds).or_else(rest)
        };
        named.or_else(coded).map(Value::Category).ok_or_else(|| {
            let known: Vec<&str> = self.categories.iter().map(|it| it.name.as_str()).collect();
            ValueError::NoCategory { field: self.name.clone(), known: known.join(", ") }
        })
    }

    /// The unit as people write it.
    pub fn unit_in_words(&self) -> &str {
        match self.unit.as_str() {
            "a" => "years",
            "d" => "days",
            "mm[Hg]" => "mmHg",
            other => other,
        }
    }

    /// The value so far up what it may be: 0 is the lowest number or the first category, 1 the highest or the last.
    pub(crate) fn within(&self, share: f64) -> Value {
        match self.kind {
            Kind::Number => {
                let [low, high] = self.range.unwrap_or([0.0, 1.0]);
                Value::Number(low + share * (high - low))
            }
            Kind::Category | Kind::YesNo => {
                let last = self.categories.len().saturating_sub(1);
                Value::Category((share * last as f64).round() as usize)
            }
        }
    }

    /// A value in words, with its unit.
    pub fn shown(&self, value: Value) -> String {
        match value {
            Value::Number(number) => {
                let rounded = (number * 1e4).round() / 1e4;
                let unit = self.unit_in_words();
                if unit.is_empty() { rounded.to_string() } else { format!("{rounded} {unit}") }
            }
            Value::Category(at) => self.categories.get(at).map_or_else(String::new, |it| it.name.clone()),
        }
    }
}

/// The factor that turns a unit into another, if it is known.
pub(crate) fn factor(unit: &str, own: &str, others: &[super::fields::UnitFactor]) -> Option<f64> {
    if unit == own {
        return Some(1.0);
    }
    others.iter().find(|it| it.unit == unit).map(|it| it.factor)
}

/// Whether two texts mean the same: as numbers where both are, else whatever the case.
fn same(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left == right,
        _ => folded(left) == folded(right),
    }
}

/// The middle of `[low-high)`, as public tables write bands of age.
fn middle(text: &str) -> Option<f64> {
    let (low, high) = text.strip_prefix('[')?.strip_suffix(')')?.split_once('-')?;
    let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
    (low < high).then_some((low + high) / 2.0)
}

/// The whole part of an ICD-9-CM code; inside, nothing for the supplementary ones (E, V).
fn icd9(text: &str) -> Option<Option<u16>> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(part, 2) {
        return None;
    }
    match whole.strip_prefix(['E', 'V', 'e', 'v']) {
        Some(rest) => digits(rest, 3).then_some(None),
        None => digits(whole, 3).then(|| whole.parse().ok()).flatten().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HEART_MODEL, READMISSION_MODEL, RISK_MODELS};
    use super::*;

    fn field(model: &str, name: &str) -> Field {
        let fields = Fields::of(model).unwrap();
        let at = fields.find(name).unwrap();
        fields.fields[at].clone()
    }

    #[test]
    fn numbers_are_read_with_and_without_their_unit() {
        let cholesterol = field(HEART_MODEL, "cholesterol");
        assert!(cholesterol.read("233").unwrap() == Some(Value::Number(233.0)));
        assert!(cholesterol.read("233.0 mg/dL").unwrap() == Some(Value::Number(233.0)));
        let Some(Value::Number(converted)) = cholesterol.read("6 mmol/L").unwrap() else { panic!() };
        assert!((converted - 232.0).abs() < 0.1, "{converted}");
        for absent in ["", "?", "NA", "0", " null "] {
            assert!(cholesterol.read(absent).unwrap().is_none(), "{absent}");
        }
    }

    #[test]
    fn what_is_no_such_value_is_refused_by_name_and_not_repeated() {
        let cholesterol = field(HEART_MODEL, "cholesterol");
        for wrong in ["NaN", "inf", "-inf", "1e999", "12 stone", "9999", "-5", "2,5", "0x1F", "١٢", "[60-50)"]
        {
            let error = cholesterol.read(wrong).unwrap_err().to_string();
            assert!(error.contains("cholesterol") && !error.contains(wrong), "{wrong}: {error}");
        }
        assert!(matches!(cholesterol.read("5 mol/L"), Err(ValueError::Unit { .. })));
        let pain = field(HEART_MODEL, "chest-pain");
        let error = pain.read("crushing <b>").unwrap_err().to_string();
        assert!(error.contains("typical angina") && !error.contains('<'), "{error}");
    }

    #[test]
    fn categories_are_read_by_name_code_and_range() {
        let pain = field(HEART_MODEL, "cp");
        let typical = pain.read("typical angina").unwrap();
        for text in ["1", "1.0", "Typical_Angina"] {
            assert!(pain.read(text).unwrap() == typical, "{text}");
        }
        let diagnosis = field(READMISSION_MODEL, "diag_1");
        let name = |text: &str| diagnosis.read(text).unwrap().map(|value| diagnosis.shown(value));
        assert_eq!(name("250.83").as_deref(), Some("diabetes"));
        assert_eq!(name("428").as_deref(), Some("heart failure"));
        assert_eq!(name("V57").as_deref(), Some("other"));
        assert_eq!(name("?"), None);
        assert!(diagnosis.read("428; DROP TABLE").is_err());
        let age = field(READMISSION_MODEL, "age");
        assert!(age.read("[70-80)").unwrap() == Some(Value::Number(75.0)));
    }

    #[test]
    fn names_that_are_not_asked_are_told_and_two_of_one_refused() {
        let fields = Fields::of(HEART_MODEL).unwrap();
        let known = Values::read(&fields, [("age", "50"), ("shoe size", "44")]).unwrap();
        assert_eq!(
            (known.values.known(), known.ignored.as_slice()),
            (1, ["shoe size".to_owned()].as_slice())
        );
        let twice = Values::read(&fields, [("trestbps", "130"), ("resting-systolic", "140")]);
        assert_eq!(twice.unwrap_err(), ValueError::Twice { field: "resting-systolic".into() });
        assert!(!format!("{known:?}").contains("50"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            for model in RISK_MODELS {
                for field in &Fields::of(model).unwrap().fields {
                    if let Ok(Some(Value::Number(number))) = field.read(&text) {
                        let [low, high] = field.range.unwrap();
                        prop_assert!((low..=high).contains(&number));
                    }
                }
            }
        }
    }
}
