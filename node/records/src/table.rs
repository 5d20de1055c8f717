//! Tables that people hand in: text with separators (RFC 4180, and what programs write instead), perhaps packed. Sizes are
//! bounded before anything is kept.

use std::fmt;

use crate::import::{UnpackError, unpack_bytes};

/// The largest table, unpacked.
pub const MAX_TABLE_BYTES: usize = 64 << 20;
/// The most rows.
pub const MAX_ROWS: usize = 1_000_000;
/// The most columns.
pub const MAX_COLUMNS: usize = 1_024;
/// The header stands within so many lines: some programs write about the person and device first.
const HEADER_WITHIN: usize = 40;

/// Why a table is not read. Never holds anything of it but line numbers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// More bytes than are read.
    #[error("the table is larger than {} MiB", MAX_TABLE_BYTES >> 20)]
    TooLarge,
    /// More rows than are read.
    #[error("the table has more than {MAX_ROWS} rows")]
    TooManyRows,
    /// More columns than are read.
    #[error("line {line} has more than {MAX_COLUMNS} columns")]
    TooManyColumns {
        /// Counted from 1.
        line: u64,
    },
    /// Packed badly.
    #[error("the file is packed, and damaged")]
    Packed,
    /// Not text.
    #[error("the file is not UTF-8 text")]
    NotText,
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// No line is the header that is looked for.
    #[error("no line among the first {HEADER_WITHIN} names the columns that are needed")]
    NoHeader,
}

/// One row: its line in the file, and its cells without white space around them.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1.
    pub line: u64,
    /// As many as the row has.
    pub cells: Vec<String>,
}

/// A table with a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows after the header, without empty ones.
    pub rows: Vec<Row>,
    /// What stands between cells.
    pub separator: char,
}

impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Table({} columns, {} rows)", self.columns.len(), self.rows.len())
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Row(line {}, {} cells)", self.line, self.cells.len())
    }
}

impl Row {
    /// The cell of a column; empty when the row is too short.
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

impl Table {
    /// Reads a table, plain or packed (gzip, xz), whose header is the first line that `is_header` takes.
    ///
    /// # Errors
    /// [`TableError`] when it is too large, no text, or has no such header.
    pub fn read(bytes: Vec<u8>, is_header: &dyn Fn(&[String]) -> bool) -> Result<Table, TableError> {
        // Packed bytes may grow, but not beyond what is read.
        let bytes = unpack_bytes(bytes).map_err(|error| match error {
            UnpackError::TooLarge => TableError::TooLarge,
            UnpackError::Gzip | UnpackError::Xz => TableError::Packed,
        })?;
        if bytes.len() > MAX_TABLE_BYTES {
            return Err(TableError::TooLarge);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| TableError::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.contains('\0') {
            return Err(TableError::NotText);
        }
        if text.trim().is_empty() {
            return Err(TableError::Empty);
        }
        // The separator with the first header: a comma may stand in the cells of the others, even twice in a row.
        let mut found: Option<(u64, char)> = None;
        for separator in [',', ';', '\t'] {
            let line = header_line(text, separator, is_header)?;
            if let Some(line) = line.filter(|line| found.is_none_or(|(other, _)| *line < other)) {
                found = Some((line, separator));
            }
        }
        let (line, separator) = found.ok_or(TableError::NoHeader)?;
        read(text, separator, line)
    }

    /// A number as tables hold it: with a decimal comma where the separator is none.
    pub fn number(&self, cell: &str) -> Option<f64> {
        let parsed = match (self.separator, cell.split_once(',')) {
            (';' | '\t', Some((whole, part))) if !whole.contains('.') => format!("{whole}.{part}").parse(),
            _ => cell.parse(),
        };
        parsed.ok().filter(|value: &f64| value.is_finite())
    }
}

fn reader(text: &str, separator: char) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator as u8)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

/// The cells of a record, and its line.
fn cells(record: &csv::StringRecord) -> Result<Row, TableError> {
    let line = record.position().map_or(0, csv::Position::line);
    if record.len() > MAX_COLUMNS {
        return Err(TableError::TooManyColumns { line });
    }
    Ok(Row { line, cells: record.iter().map(str::to_owned).collect() })
}

/// The line of the header with this separator; nothing when there is none among the first.
fn header_line(
    text: &str,
    separator: char,
    is_header: &dyn Fn(&[String]) -> bool,
) -> Result<Option<u64>, TableError> {
    for record in reader(text, separator).into_records().take(HEADER_WITHIN) {
        let row = cells(&record.map_err(|_| TableError::NotText)?)?;
        if is_header(&row.cells) {
            return Ok(Some(row.line));
        }
    }
    Ok(None)
}

/// The table whose header stands in a line.
fn read(text: &str, separator: char, header: u64) -> Result<Table, TableError> {
    let mut table = Table { columns: Vec::new(), rows: Vec::new(), separator };
    for record in reader(text, separator).into_records() {
        let row = cells(&record.map_err(|_| TableError::NotText)?)?;
        if row.line == header {
            table.columns = row.cells;
        } else if row.line > header && row.cells.iter().any(|cell| !cell.is_empty()) {
            if table.rows.len() >= MAX_ROWS {
                return Err(TableError::TooManyRows);
            }
            table.rows.push(row);
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(cells: &[String]) -> bool {
        cells.len() >= 2 && cells[0] == "a"
    }

    fn of(text: &str) -> Result<Table, TableError> {
        Table::read(text.as_bytes().to_vec(), &two)
    }

    #[test]
    fn separators_quotes_and_lines_before_the_header_are_read() {
        for text in
            ["a,b\n1,\"x, y\"\n", "\u{feff}a;b\r\n1;x, y\r\n", "about,me\nat,home,2\na\tb\n1\tx, y\n\n"]
        {
            let table = of(text).unwrap();
            assert_eq!(table.columns, ["a", "b"]);
            assert_eq!(table.rows[0].cells, ["1", "x, y"]);
            assert_eq!(table.rows.len(), 1);
        }
        assert_eq!(of("q\n\na,b\n1,2").unwrap().rows[0].line, 4);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(of(" \n"), Err(TableError::Empty));
        assert_eq!(of("x,y\n1,2"), Err(TableError::NoHeader));
        assert_eq!(Table::read(vec![0xff, 0xfe, 1], &two), Err(TableError::NotText));
        assert_eq!(of("a,b\n\0"), Err(TableError::NotText));
        assert_eq!(Table::read(vec![0x1f, 0x8b, 9], &two), Err(TableError::Packed));
        let wide = format!("a,b\n{}", ",".repeat(MAX_COLUMNS));
        assert_eq!(of(&wide), Err(TableError::TooManyColumns { line: 2 }));
        assert_eq!(of(&format!("a,b\n{}", "1,2\n".repeat(MAX_ROWS + 1))), Err(TableError::TooManyRows));
        assert_eq!(Table::read(vec![b'a'; MAX_TABLE_BYTES + 1], &two), Err(TableError::TooLarge));
    }

    #[test]
    fn numbers_have_a_point_or_a_comma() {
        let with = |separator| Table { columns: vec![], rows: vec![], separator };
        assert_eq!(with(',').number("5.4"), Some(5.4));
        assert_eq!(with(';').number("5,4"), Some(5.4));
        assert_eq!(with(',').number("5,4"), None);
        assert_eq!(with(',').number("NaN"), None);
        assert_eq!(with(',').number("inf"), None);
    }
}
