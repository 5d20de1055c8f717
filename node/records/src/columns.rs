//! Numbers out of tables of any subject: one series over time, or a panel with a row for each patient.

use crate::glucose::{TIMES, bare};
use crate::table::{Row, Table, TableError};
use crate::time::{TimeError, times};

/// What people write where nothing was measured.
const MISSING: [&str; 9] = ["", "na", "n/a", "nan", "null", "none", ".", "-", "?"];
/// Names of the column that says who.
const WHO: [&str; 8] = ["id", "patient", "patientid", "person", "personid", "subject", "subjectid", "caseid"];
/// Names of columns that an error lists.
const LISTED: usize = 12;

/// Why a table gives no numbers. Holds names of columns and lines, no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// The table itself.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Its times.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A cell that should be a number.
    #[error("line {line} has a cell in column {column} that is no number")]
    Value {
        /// Counted from 1.
        line: u64,
        /// As the table names it.
        column: String,
    },
    /// No column of that name.
    #[error("there is no column {column}; there are: {there}")]
    NoColumn {
        /// As it was asked for.
        column: String,
        /// What there is.
        there: String,
    },
    /// Several columns of numbers.
    #[error("several columns hold numbers, name one of: {there}")]
    Several {
        /// What there is.
        there: String,
    },
    /// No column of numbers.
    #[error("no column holds numbers")]
    NoNumbers,
}

/// A series out of a table.
#[derive(Clone, PartialEq)]
pub struct TableSeries {
    /// Name of its column.
    pub name: String,
    /// Seconds and values; rows without a value are left out.
    pub points: Vec<(i64, f64)>,
    /// Whether the times have a zone.
    pub zoned: bool,
}

impl std::fmt::Debug for TableSeries {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TableSeries({} points)", self.points.len())
    }
}

/// A panel out of a table.
#[derive(Clone, PartialEq)]
pub struct TablePanel {
    /// Names of the columns of numbers.
    pub columns: Vec<String>,
    /// Who each row is of, as the table says, else its number.
    pub who: Vec<String>,
    /// As many cells as there are columns.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Columns that hold something else than numbers.
    pub left_out: Vec<String>,
}

impl std::fmt::Debug for TablePanel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TablePanel({} rows, {} columns)", self.rows.len(), self.columns.len())
    }
}

/// Reads a column over time: the one that is named, or the only one that holds numbers.
///
/// # Errors
/// [`ColumnError`] with the column or line that is wrong.
pub fn series(bytes: Vec<u8>, wanted: Option<&str>) -> Result<TableSeries, ColumnError> {
    let time_in = |cells: &[String]| {
        let names: Vec<String> = cells.iter().map(|cell| bare(cell)).collect();
        TIMES.into_iter().find_map(|time| names.iter().position(|name| name == time))
    };
    let table = Table::read(bytes, &|cells| cells.len() > 1 && time_in(cells).is_some())?;
    let time = time_in(&table.columns).ok_or(TableError::NoHeader)?;
    let column = match wanted {
        Some(wanted) => named(&table, wanted)?,
        None => {
            let numbers: Vec<usize> =
                (0..table.columns.len()).filter(|at| *at != time && holds_numbers(&table, *at)).collect();
            match numbers[..] {
                [] => return Err(ColumnError::NoNumbers),
                [only] => only,
                _ => return Err(ColumnError::Several { there: listed(&table, &numbers) }),
            }
        }
    };
    let used: Vec<&Row> = table.rows.iter().filter(|row| !is_missing(row.cell(column))).collect();
    let times = times(used.iter().map(|row| (row.line, row.cell(time))))?;
    let value = |row: &&Row| number(&table, row, column);
    let values: Vec<f64> = used.iter().map(value).collect::<Result<_, _>>()?;
    let points = times.seconds.into_iter().zip(values).collect();
    Ok(TableSeries { name: table.columns[column].clone(), points, zoned: times.zoned })
}

/// Reads a row for each patient: the columns that are named, or all that hold numbers.
///
/// # Errors
/// [`ColumnError`] with the column or line that is wrong.
pub fn panel(bytes: Vec<u8>, wanted: &[String]) -> Result<TablePanel, ColumnError> {
    let named_cell = |cell: &String| !cell.is_empty() && cell.parse::<f64>().is_err();
    let table = Table::read(bytes, &|cells| cells.len() > 1 && cells.iter().all(named_cell))?;
    let who = table.columns.iter().position(|name| WHO.contains(&bare(name).as_str()));
    let (columns, left_out): (Vec<usize>, Vec<usize>) = if wanted.is_empty() {
        (0..table.columns.len()).filter(|at| Some(*at) != who).partition(|at| holds_numbers(&table, *at))
    } else {
        (wanted.iter().map(|name| named(&table, name)).collect::<Result<_, _>>()?, Vec::new())
    };
    if columns.is_empty() {
        return Err(ColumnError::NoNumbers);
    }
    let cell = |row: &Row, column: usize| {
        if is_missing(row.cell(column)) { Ok(None) } else { number(&table, row, column).map(Some) }
    };
    let rows = table.rows.iter().map(|row| columns.iter().map(|column| cell(row, *column)).collect());
    let name = |at: &usize| table.columns[*at].clone();
    let person = |(number, row): (usize, &Row)| {
        let said = who.map(|who| row.cell(who)).filter(|cell| !cell.is_empty());
        said.map_or_else(|| (number + 1).to_string(), str::to_owned)
    };
    Ok(TablePanel {
        rows: rows.collect::<Result<_, _>>()?,
        who: table.rows.iter().enumerate().map(person).collect(),
        columns: columns.iter().map(name).collect(),
        left_out: left_out.iter().map(name).collect(),
    })
}

fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

fn number(table: &Table, row: &Row, column: usize) -> Result<f64, ColumnError> {
    let value = table.number(row.cell(column));
    value.ok_or_else(|| ColumnError::Value { line: row.line, column: table.columns[column].clone() })
}

/// Whether there is a number, and nothing but numbers where something is.
fn holds_numbers(table: &Table, column: usize) -> bool {
    let mut some = false;
    let all = table.rows.iter().map(|row| row.cell(column)).filter(|cell| !is_missing(cell)).all(|cell| {
        some = true;
        table.number(cell).is_some()
    });
    some && all
}

fn named(table: &Table, wanted: &str) -> Result<usize, ColumnError> {
    let exact = table.columns.iter().position(|name| name == wanted);
    let alike = || table.columns.iter().position(|name| bare(name) == bare(wanted));
    exact.or_else(alike).ok_or_else(|| ColumnError::NoColumn {
        column: wanted.to_owned(),
        there: listed(table, &(0..table.columns.len()).collect::<Vec<_>>()),
    })
}

fn listed(table: &Table, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().take(LISTED).map(|at| table.columns[*at].as_str()).collect();
    let more = if columns.len() > LISTED { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, wanted: Option<&str>) -> Result<TableSeries, ColumnError> {
        series(text.as_bytes().to_vec(), wanted)
    }

    #[test]
    fn a_column_over_time_is_read() {
        let text = "time,pulse,note\n2026-01-01 10:00,60,a\n2026-01-01 11:00,NA,\n2026-01-01 12:00,62,b\n";
        let found = of(text, None).unwrap();
        assert_eq!(found.name, "pulse");
        assert_eq!(found.points.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [60.0, 62.0]);
        assert_eq!(of(text, Some("pulse")).unwrap(), found);
        assert_eq!(of(text, Some("note")), Err(ColumnError::Value { line: 2, column: "note".into() }));
        let there = "time, pulse, note".to_owned();
        assert_eq!(of(text, Some("weight")), Err(ColumnError::NoColumn { column: "weight".into(), there }));
        let two = "time,a,b\n2026-01-01 10:00,1,2\n";
        assert_eq!(of(two, None), Err(ColumnError::Several { there: "a, b".into() }));
        assert_eq!(of("time,a\n2026-01-01 10:00,x\n", None), Err(ColumnError::NoNumbers));
        assert_eq!(of("a,b\n1,2\n", None), Err(TableError::NoHeader.into()));
    }

    #[test]
    fn a_row_for_each_patient_is_read() {
        let text = "Patient ID;sex;bmi;hr\np1;f;21,5;60\np2;m;?;70\n;f;30;\n";
        let found = panel(text.as_bytes().to_vec(), &[]).unwrap();
        assert_eq!(found.columns, ["bmi", "hr"]);
        assert_eq!(found.left_out, ["sex"]);
        assert_eq!(found.who, ["p1", "p2", "3"]);
        assert_eq!(
            found.rows,
            [[Some(21.5), Some(60.0)], [None, Some(70.0)], [Some(30.0), None]].map(Vec::from)
        );
        let one = panel(text.as_bytes().to_vec(), &["hr".to_owned()]).unwrap();
        assert_eq!(one.columns, ["hr"]);
        let sex = panel(text.as_bytes().to_vec(), &["sex".to_owned()]);
        assert_eq!(sex, Err(ColumnError::Value { line: 2, column: "sex".into() }));
        assert_eq!(panel(b"1,2\n3,4\n".to_vec(), &[]), Err(TableError::NoHeader.into()));
    }
}
