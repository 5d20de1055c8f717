//! Many patients with the same few numbers each, made comparable: what is missing is named and filled, what tells nothing is
//! left out by name.

use std::fmt;

use super::{median, sorted};

/// Fewer patients form no groups.
pub const MIN_ROWS: usize = 6;
/// The most patients.
pub const MAX_ROWS: usize = 50_000;
/// The most columns.
pub const MAX_COLUMNS: usize = 64;
/// A column that lacks more is left out: what is filled in would decide.
const MOST_MISSING: f64 = 0.5;

/// Why numbers are no panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PanelError {
    /// Too few rows.
    #[error("at least {MIN_ROWS} patients with the columns are needed, not {0}")]
    TooFew(usize),
    /// Too many rows or columns.
    #[error("more than {MAX_ROWS} patients or {MAX_COLUMNS} columns")]
    TooMany,
    /// Nothing is left.
    #[error("no column is left: all are constant or mostly missing")]
    NoColumn,
    /// A row of another length, or a number that is not finite.
    #[error("a row has too few or too many cells, or a number that is not finite")]
    Malformed,
}

/// Why a column is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyDropped {
    /// All values are the same.
    Constant,
    /// More than half are missing.
    Missing,
}

impl WhyDropped {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            WhyDropped::Constant => "the same for all",
            WhyDropped::Missing => "missing for more than half",
        }
    }
}

/// A column that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub column: String,
    /// Why.
    pub why: WhyDropped,
}

/// A column in which something was filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Imputed {
    /// Its name.
    pub column: String,
    /// How often.
    pub count: usize,
    /// What with: the median of the others.
    pub with: f64,
}

/// A panel whose columns have mean 0 and deviation 1.
#[derive(Clone, PartialEq)]
pub struct Panel {
    columns: Vec<String>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    rows: Vec<Vec<f64>>,
    dropped: Vec<Dropped>,
    imputed: Vec<Imputed>,
}

impl fmt::Debug for Panel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Panel({} rows, {} columns)", self.rows.len(), self.columns.len())
    }
}

impl Panel {
    /// Prepares rows with as many cells as there are columns; `None` is missing.
    ///
    /// # Errors
    /// [`PanelError`] when too little is left.
    pub fn new(columns: Vec<String>, rows: &[Vec<Option<f64>>]) -> Result<Panel, PanelError> {
        if rows.len() > MAX_ROWS || columns.len() > MAX_COLUMNS {
            return Err(PanelError::TooMany);
        }
        if rows.len() < MIN_ROWS {
            return Err(PanelError::TooFew(rows.len()));
        }
        let whole = |row: &Vec<Option<f64>>| {
            row.len() == columns.len() && row.iter().flatten().all(|value| value.is_finite())
        };
        if !rows.iter().all(whole) {
            return Err(PanelError::Malformed);
        }
        let mut panel = Panel {
            columns: Vec::new(),
            means: Vec::new(),
            deviations: Vec::new(),
            rows: vec![Vec::new(); rows.len()],
            dropped: Vec::new(),
            imputed: Vec::new(),
        };
        for (index, column) in columns.into_iter().enumerate() {
            let cells: Vec<Option<f64>> = rows.iter().map(|row| row[index]).collect();
            panel.add(column, &cells);
        }
        if panel.columns.is_empty() { Err(PanelError::NoColumn) } else { Ok(panel) }
    }

    fn add(&mut self, column: String, cells: &[Option<f64>]) {
        let known = sorted(cells.iter().copied().flatten());
        let missing = cells.len() - known.len();
        let drop = |why| Dropped { column: column.clone(), why };
        if missing as f64 > MOST_MISSING * cells.len() as f64 {
            return self.dropped.push(drop(WhyDropped::Missing));
        }
        let with = median(&known);
        let values: Vec<f64> = cells.iter().map(|cell| cell.unwrap_or(with)).collect();
        let count = values.len() as f64;
        let mean = values.iter().map(|value| value / count).sum::<f64>();
        let variance = values.iter().map(|value| (value - mean).powi(2) / (count - 1.0)).sum::<f64>();
        let deviation = variance.sqrt();
        // What differs by rounding alone, or by more than can be counted with, tells nothing.
        if !deviation.is_finite() || deviation <= 1e-9 * mean.abs() || deviation == 0.0 {
            return self.dropped.push(drop(WhyDropped::Constant));
        }
        for (row, value) in self.rows.iter_mut().zip(&values) {
            row.push((value - mean) / deviation);
        }
        if missing > 0 {
            self.imputed.push(Imputed { column: column.clone(), count: missing, with });
        }
        self.columns.push(column);
        self.means.push(mean);
        self.deviations.push(deviation);
    }

    /// Names of the columns that are left.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What was left out.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// What was filled in.
    pub fn imputed(&self) -> &[Imputed] {
        &self.imputed
    }

    /// Standardised rows.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// A standardised value as it was measured.
    pub(crate) fn measured(&self, column: usize, standardised: f64) -> f64 {
        standardised * self.deviations[column] + self.means[column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_standardised_filled_and_left_out_by_name() {
        let rows: Vec<Vec<Option<f64>>> = (0..8)
            .map(|at| {
                let at = f64::from(at);
                let some = |holds: bool| holds.then_some(at * 2.0);
                vec![Some(at * 10.0), Some(5.0), some(at > 5.0), some(at > 0.0)]
            })
            .collect();
        let names = ["a", "same", "hardly", "once"].map(str::to_owned).to_vec();
        let panel = Panel::new(names, &rows).unwrap();
        assert_eq!(panel.columns(), ["a", "once"]);
        let dropped: Vec<(&str, WhyDropped)> =
            panel.dropped().iter().map(|it| (it.column.as_str(), it.why)).collect();
        assert_eq!(dropped, [("same", WhyDropped::Constant), ("hardly", WhyDropped::Missing)]);
        assert_eq!(panel.imputed(), [Imputed { column: "once".into(), count: 1, with: 8.0 }]);
        let first: Vec<f64> = panel.rows().iter().map(|row| row[0]).collect();
        assert!(first.iter().sum::<f64>().abs() < 1e-12);
        assert!((first.iter().map(|value| value * value).sum::<f64>() / 7.0 - 1.0).abs() < 1e-12);
        assert!((panel.measured(0, panel.rows()[3][0]) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_panel_is_refused() {
        let of = |rows: Vec<Vec<Option<f64>>>| Panel::new(vec!["a".into()], &rows);
        assert_eq!(of(vec![vec![Some(1.0)]; 5]), Err(PanelError::TooFew(5)));
        assert_eq!(of(vec![vec![Some(1.0)]; 6]), Err(PanelError::NoColumn));
        assert_eq!(of(vec![vec![Some(f64::NAN)]; 6]), Err(PanelError::Malformed));
        assert_eq!(of(vec![vec![]; 6]), Err(PanelError::Malformed));
        assert_eq!(of(vec![vec![Some(1.0)]; MAX_ROWS + 1]), Err(PanelError::TooMany));
    }
}
