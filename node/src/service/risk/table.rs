//! Findings from a file: CSV with names above the columns, or JSON, an object or several in a list.

use std::path::Path;

use inference::risk::{Fields, Header, Known, Values};
use serde_json::Value;

use super::super::problem::Problem;

/// The largest file that is read, and the most rows of it.
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_ROWS: usize = 100_000;
/// The most columns of a table.
const MAX_COLUMNS: usize = 1_000;

/// A row, or why it is refused; what is refused names the field.
pub(crate) type Row = Result<Known, String>;

/// Reads a file row by row.
///
/// # Errors
/// [`Problem`] when it is no table, names nothing that the model asks for, or is larger than is read.
pub(crate) fn read(
    path: &Path,
    fields: &Fields,
    each: &mut dyn FnMut(usize, Row) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        Problem::failed(format!("cannot read {shown}"))
            .because(error)
            .next("name a .csv or .json file, or a Patient of this home")
    };
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_FILE_BYTES {
        return Err(Problem::failed(format!(
            "{shown} is larger than is read ({} MiB)",
            MAX_FILE_BYTES >> 20
        ))
        .next("split it"));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|it| b"{[".contains(it));
    let mut count = 0;
    let mut counted = |row: Row| {
        count += 1;
        if count > MAX_ROWS {
            return Err(Problem::failed(format!(
                "{shown} has more than {MAX_ROWS} rows; the rest is not read"
            ))
            .next("split it"));
        }
        each(count, row)
    };
    if is_json { json(bytes, fields, &mut counted) } else { csv(bytes, fields, &mut counted) }.map_err(
        |mut problem| {
            problem.message = format!("{shown}: {}", problem.message);
            problem
        },
    )?;
    if count == 0 {
        return Err(Problem::failed(format!("{shown} holds no row")).next(asked(fields)));
    }
    Ok(())
}

fn asked(fields: &Fields) -> String {
    let names: Vec<&str> = fields.fields.iter().map(|field| field.name.as_str()).collect();
    format!("the model asks for: {}", names.join(", "))
}

fn csv(
    bytes: &[u8],
    fields: &Fields,
    each: &mut dyn FnMut(Row) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let malformed = || Problem::failed("this is neither a CSV table in UTF-8 nor JSON").next(asked(fields));
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().map_err(|_| malformed())?.clone();
    if names.len() > MAX_COLUMNS {
        return Err(Problem::failed(format!("more than {MAX_COLUMNS} columns are not read")));
    }
    let header = Header::of(fields, &names).map_err(|error| Problem::failed(error.to_string()))?;
    if !header.is_any() {
        return Err(Problem::failed("no column is one that the model asks for").next(asked(fields)));
    }
    for record in reader.records() {
        let row = match record {
            Ok(record) => match header.read(fields, &record) {
                Ok(values) => Ok(Known { values, ignored: header.ignored.clone() }),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("the row has {len} values under {expected_len} names")
                }
                csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
                _ => return Err(malformed()),
            }),
        };
        each(row)?;
    }
    Ok(())
}

fn json(
    bytes: &[u8],
    fields: &Fields,
    each: &mut dyn FnMut(Row) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("this is no JSON, line {}, column {}", error.line(), error.column());
        Problem::failed(place)
    })?;
    let rows = match value {
        Value::Array(rows) => rows,
        other => vec![other],
    };
    for row in rows {
        each(object(&row, fields))?;
    }
    Ok(())
}

/// One object of names and values.
fn object(row: &Value, fields: &Fields) -> Row {
    let Value::Object(members) = row else { return Err("a row is an object of names and values".to_owned()) };
    let mut pairs = Vec::with_capacity(members.len());
    for (name, value) in members {
        let text = match value {
            Value::Null => String::new(),
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            // What is not asked for may be anything.
            Value::Array(_) | Value::Object(_) if fields.find(name).is_none() => String::new(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("{} is neither text nor a number", fields_name(fields, name)));
            }
        };
        pairs.push((name.as_str(), text));
    }
    Values::read(fields, pairs.iter().map(|(name, text)| (*name, text.as_str()))).map_err(|it| it.to_string())
}

fn fields_name<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.find(name).map_or("a value", |at| fields.fields[at].name.as_str())
}

#[cfg(test)]
mod tests {
    use inference::risk::HEART_MODEL;

    use super::*;

    /// How many values of each row are known, or why it is refused.
    fn rows(bytes: &[u8]) -> Result<Vec<Result<usize, String>>, Problem> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("rows");
        std::fs::write(&path, bytes).expect("written");
        let mut rows = Vec::new();
        let fields = Fields::of(HEART_MODEL).expect("fields");
        read(&path, &fields, &mut |_, row| {
            rows.push(row.map(|known| known.values.known()));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn tables_and_objects_are_read() {
        let csv = b"\xef\xbb\xbfage,sex,cp,shoe size\n54,male,\"typical angina\",44\n61,0,?,\n";
        assert_eq!(rows(csv).expect("read"), [Ok(3), Ok(2)]);
        assert_eq!(
            rows(br#" {"age": 54, "sex": "male", "exang": true, "chol": null}"#).expect("read"),
            [Ok(3)]
        );
        let list = br#"[{"age": 54.0}, {"age": [1]}, {"other": {}}, 7]"#;
        let list = rows(list).expect("read");
        assert_eq!(list[0], Ok(1));
        assert!(list[1].as_ref().is_err_and(|reason| reason.contains("age")));
        assert_eq!(list[2], Ok(0));
        assert!(list[3].is_err());
    }

    #[test]
    fn one_bad_row_spoils_no_other() {
        let csv = "age,sex,chol\n54,male\n54,male,9999\n54,\u{ff},200\n1e999,male,200\n54,male,200\n";
        let csv: Vec<u8> = csv.chars().map(|c| c as u8).collect();
        let rows = rows(&csv).expect("read");
        assert_eq!(rows.len(), 5);
        assert!(rows[..4].iter().all(Result::is_err), "{rows:?}");
        assert!(
            rows[1].as_ref().is_err_and(|reason| reason.contains("cholesterol") && !reason.contains("9999"))
        );
        assert_eq!(rows[4], Ok(3));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for wrong in [
            &b""[..],
            b"age\n",
            b"[]",
            b"{",
            b"[1,",
            b"\xff\xfe\x00",
            b"shoe size\n44\n",
            b"trestbps,resting-systolic\n1,2\n",
            &[b'['; 100_000],
        ] {
            assert!(rows(wrong).is_err(), "{:?}", &wrong[..wrong.len().min(20)]);
        }
        let wide = vec!["age"; 1_001].join(",");
        assert!(rows(wide.as_bytes()).is_err());
        let long = format!("age\n{}", "54\n".repeat(MAX_ROWS + 1));
        assert!(rows(long.as_bytes()).is_err_and(|problem| problem.message.contains("100000 rows")));
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("huge.csv");
        std::fs::File::create(&path).and_then(|file| file.set_len(MAX_FILE_BYTES + 1)).expect("made");
        let fields = Fields::of(HEART_MODEL).expect("fields");
        assert!(read(&path, &fields, &mut |_, _| Ok(())).is_err_and(|it| it.message.contains("larger")));
    }
}
