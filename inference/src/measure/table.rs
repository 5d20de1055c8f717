//! Tables of a card.

use serde::{Deserialize, Serialize};

/// Figures side by side, a row for each class, recording or group of patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What the rows are.
    pub title: String,
    /// Names of the columns with counts.
    pub counts: Vec<String>,
    /// Names of the columns with measures.
    pub measures: Vec<String>,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRow {
    /// What it is of.
    pub name: String,
    /// As many as the table has columns of counts.
    pub counts: Vec<usize>,
    /// As many as the table has measures.
    pub values: Vec<Cell>,
}

/// A figure, with the interval that holds 95 % of draws of patients if it has one; on a card `[value]`,
/// `[value, low, high]` or `[]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Cell {
    value: Option<f64>,
    interval: Option<[f64; 2]>,
}

/// To four places, as figures are reported.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Cell {
    /// Where a measure has no meaning.
    pub const EMPTY: Cell = Cell { value: None, interval: None };

    /// A figure without an interval.
    pub fn of(value: f64) -> Cell {
        Cell { value: Some(rounded(value)), interval: None }
    }

    /// A figure with its interval.
    pub fn with_interval(value: f64, interval: Option<[f64; 2]>) -> Cell {
        Cell { value: Some(rounded(value)), interval: interval.map(|ends| ends.map(rounded)) }
    }

    /// The figure.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// Its interval.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.interval
    }
}

impl From<Cell> for Vec<f64> {
    fn from(cell: Cell) -> Vec<f64> {
        cell.value.into_iter().chain(cell.interval.into_iter().flatten()).collect()
    }
}

impl TryFrom<Vec<f64>> for Cell {
    type Error = &'static str;

    fn try_from(values: Vec<f64>) -> Result<Cell, Self::Error> {
        match values[..] {
            [] => Ok(Cell::EMPTY),
            [value] => Ok(Cell { value: Some(value), interval: None }),
            [value, low, high] => Ok(Cell { value: Some(value), interval: Some([low, high]) }),
            _ => Err("a figure is [value], [value, low, high] or []"),
        }
    }
}

impl Table {
    /// Whether another measurement gave the same: the same rows and counts, and every figure within `tolerance`.
    pub fn agrees(&self, other: &Table, tolerance: f64) -> bool {
        let near = |left: &Cell, right: &Cell| match (left.value, right.value) {
            (Some(left), Some(right)) => (left - right).abs() <= tolerance,
            (left, right) => left == right,
        };
        let row = |left: &TableRow, right: &TableRow| {
            left.name == right.name
                && left.counts == right.counts
                && left.values.len() == right.values.len()
                && left.values.iter().zip(&right.values).all(|(left, right)| near(left, right))
        };
        self.title == other.title
            && self.measures == other.measures
            && self.rows.len() == other.rows.len()
            && self.rows.iter().zip(&other.rows).all(|(left, right)| row(left, right))
    }

    /// The figure of a row and a measure, both by name.
    pub fn value(&self, row: &str, measure: &str) -> Option<f64> {
        let column = self.measures.iter().position(|name| name == measure)?;
        self.rows.iter().find(|it| it.name == row)?.values.get(column)?.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_short_lists() {
        let cells = [Cell::EMPTY, Cell::of(0.5), Cell::with_interval(0.123_46, Some([0.1, 0.2]))];
        let table = |cells: Vec<Cell>| Table {
            title: "t".into(),
            counts: vec![],
            measures: vec![],
            rows: vec![TableRow { name: "a".into(), counts: vec![1], values: cells }],
        };
        let text = toml::to_string(&table(cells.to_vec())).unwrap();
        assert!(text.contains("values = [[], [0.5], [0.1235, 0.1, 0.2]]"), "{text}");
        assert_eq!(toml::from_str::<Table>(&text).unwrap(), table(cells.to_vec()));
        assert!(toml::from_str::<Table>(&text.replace("[0.5]", "[0.5, 1.0]")).is_err());
    }

    #[test]
    fn other_figures_do_not_agree() {
        let of = |value: f64, count| Table {
            title: "t".into(),
            counts: vec!["n".into()],
            measures: vec!["F1".into()],
            rows: vec![TableRow { name: "a".into(), counts: vec![count], values: vec![Cell::of(value)] }],
        };
        assert!(of(0.9, 5).agrees(&of(0.901, 5), 0.002));
        assert!(!of(0.9, 5).agrees(&of(0.91, 5), 0.002));
        assert!(!of(0.9, 5).agrees(&of(0.9, 6), 0.002));
        assert_eq!(of(0.9, 5).value("a", "F1"), Some(0.9));
    }
}
