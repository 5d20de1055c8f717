//! Readings of a glucose monitor out of tables, as the programs of makers and researchers write them.

use std::fmt;

use crate::table::{Row, Table, TableError};
use crate::time::{TimeError, times};

/// LOINC codes of glucose in tissue, as monitors measure it: mass and moles in a volume (HL7 Continuous Glucose Monitoring
/// implementation guide 1.0), and the older ones for body fluid.
pub const CODES: [&str; 4] = ["99504-3", "105272-9", "2344-0", "14745-4"];
/// What is written where a monitor says LOW or HIGH, in mg/dL: the ends of what it shows.
const LOW_MG_DL: f64 = 40.0;
/// As [`LOW_MG_DL`].
const HIGH_MG_DL: f64 = 400.0;
/// One mmol/L of glucose in mg/dL: its molar mass is 180.156 g/mol.
const MG_DL_PER_MMOL_L: f64 = 18.0156;

/// How glucose is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milligrams in a decilitre.
    MgPerDl,
    /// Millimoles in a litre.
    MmolPerL,
}

impl Unit {
    /// Reads a unit, by UCUM or as people write it.
    pub fn parse(text: &str) -> Option<Unit> {
        let plain: String = text.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        match plain.as_str() {
            "mgdl" | "mgperdl" => Some(Unit::MgPerDl),
            "mmoll" | "mmolperl" => Some(Unit::MmolPerL),
            _ => None,
        }
    }

    /// As mg/dL.
    pub fn mg_per_dl(self, value: f64) -> f64 {
        match self {
            Unit::MgPerDl => value,
            Unit::MmolPerL => value * MG_DL_PER_MMOL_L,
        }
    }
}

/// Why a table holds no readings that can be used. Never holds a value of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlucoseError {
    /// The table itself.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Its times.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A cell that should be a value.
    #[error("line {line} has a glucose value that is no number")]
    Value {
        /// Counted from 1.
        line: u64,
    },
    /// A unit that is none of glucose.
    #[error("line {line} has a unit that is neither mg/dL nor mmol/L")]
    Unit {
        /// Counted from 1.
        line: u64,
    },
    /// The table says another unit than the caller.
    #[error("the table itself says that it is in another unit")]
    OtherUnit,
}

/// Readings in the order of time.
#[derive(Clone, PartialEq)]
pub struct Readings {
    /// Seconds and mg/dL.
    pub readings: Vec<(i64, f64)>,
    /// What the table says that it is in; nothing when it does not say, and mg/dL was assumed.
    pub unit: Option<Unit>,
    /// Whether the times have a zone.
    pub zoned: bool,
}

impl fmt::Debug for Readings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Readings({}, {:?})", self.readings.len(), self.unit)
    }
}

/// Reads a table with a header. It needs a column of times (or one of dates and one of times) and one of glucose; `said` is the
/// unit that the caller knows. A table that runs back in time is turned round.
///
/// # Errors
/// [`GlucoseError`] with the line that is wrong.
pub fn read(bytes: Vec<u8>, said: Option<Unit>) -> Result<Readings, GlucoseError> {
    let table = Table::read(bytes, &|cells| Columns::of(cells).is_some())?;
    let columns = Columns::of(&table.columns).ok_or(TableError::NoHeader)?;
    let unit = unit_in(&table.columns[columns.glucose]);
    if let (Some(said), Some(unit)) = (said, unit)
        && said != unit
    {
        return Err(GlucoseError::OtherUnit);
    }
    let used: Vec<&Row> = table.rows.iter().filter(|row| !row.cell(columns.glucose).is_empty()).collect();
    let written: Vec<(u64, String)> = used.iter().map(|row| (row.line, columns.time(row))).collect();
    let times = times(written.iter().map(|(line, text)| (*line, text.as_str())))?;
    let mut readings = Vec::with_capacity(used.len());
    for (row, at_s) in used.iter().zip(times.seconds) {
        let of_row = match columns.unit.map(|column| row.cell(column)).filter(|cell| !cell.is_empty()) {
            Some(cell) => Some(Unit::parse(cell).ok_or(GlucoseError::Unit { line: row.line })?),
            None => None,
        };
        let unit = of_row.or(unit).or(said).unwrap_or(Unit::MgPerDl);
        let cell = row.cell(columns.glucose);
        let value = match cell.to_ascii_lowercase().as_str() {
            "low" | "lo" | "niedrig" => LOW_MG_DL,
            "high" | "hi" | "hoch" => HIGH_MG_DL,
            _ => unit.mg_per_dl(table.number(cell).ok_or(GlucoseError::Value { line: row.line })?),
        };
        readings.push((at_s, value));
    }
    // Some programs write the newest first.
    if readings.len() > 1 && readings.windows(2).all(|pair| pair[1].0 < pair[0].0) {
        readings.reverse();
    }
    let any_unit = columns.unit.and_then(|column| used.first().and_then(|row| Unit::parse(row.cell(column))));
    Ok(Readings { readings, unit: any_unit.or(unit).or(said), zoned: times.zoned })
}

/// Where the columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    /// Time, or the date and the time of the day.
    time: usize,
    clock: Option<usize>,
    glucose: usize,
    unit: Option<usize>,
}

/// Names of the column with date and time: data sets, Dexcom Clarity, LibreView, Nightscout, Tidepool, Medtronic CareLink.
pub(crate) const TIMES: [&str; 12] = [
    "timestamp",
    "datetime",
    "dateandtime",
    "devicetimestamp",
    "displaytime",
    "localtime",
    "eventtime",
    "effectivedatetime",
    "datestring",
    "gmttime",
    "time",
    "date",
];
/// Names of the column with glucose, the surest first. A finger prick (strip, meter) and a scan are none of them.
const GLUCOSES: [&str; 14] = [
    "sensorglucose",
    "historicglucose",
    "interstitialglucose",
    "glucosevalue",
    "glucosereading",
    "cgmglucosevalue",
    "cgmglucose",
    "glucoselevel",
    "glucose",
    "cgm",
    "sgv",
    "gl",
    "value",
    "bg",
];

impl Columns {
    fn of(cells: &[String]) -> Option<Columns> {
        let names: Vec<String> = cells.iter().map(|cell| bare(cell)).collect();
        let named = |wanted: &str| names.iter().position(|name| name == wanted);
        let glucose = GLUCOSES.into_iter().find_map(named)?;
        let time = TIMES.into_iter().find_map(named)?;
        let clock = (names[time] == "date").then(|| named("time")).flatten();
        let (time, clock) = match (named("date"), named("time")) {
            (Some(date), Some(clock)) if names[time] == "time" => (date, Some(clock)),
            _ => (time, clock),
        };
        let unit = ["unit", "units", "glucoseunit"].into_iter().find_map(named);
        (glucose != time).then_some(Columns { time, clock, glucose, unit })
    }

    fn time(&self, row: &Row) -> String {
        match self.clock {
            Some(clock) => format!("{} {}", row.cell(self.time), row.cell(clock)),
            None => row.cell(self.time).to_owned(),
        }
    }
}

/// A name in small letters without unit, format and signs: `Glucose Value (mg/dL)` is `glucosevalue`.
pub(crate) fn bare(name: &str) -> String {
    let name = name.split(['(', '[']).next().unwrap_or_default().to_ascii_lowercase();
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let ends = ["mgdl", "mmoll", "mgperdl", "mmolperl"];
    ends.iter().find_map(|end| plain.strip_suffix(end)).unwrap_or(&plain).to_owned()
}

/// The unit in a name such as `Historic Glucose mmol/L`.
fn unit_in(name: &str) -> Option<Unit> {
    let plain: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    if plain == "sgv" || plain.contains("mgdl") || plain.contains("mgperdl") {
        return Some(Unit::MgPerDl);
    }
    (plain.contains("mmoll") || plain.contains("mmolperl")).then_some(Unit::MmolPerL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Readings, GlucoseError> {
        read(text.as_bytes().to_vec(), None)
    }

    #[test]
    fn the_tables_of_makers_and_data_sets_are_read() {
        for text in [
            "timestamp,glucose_value_mg_dl\n2020-02-13 12:00:00,108.0936\n2020-02-13 12:05:00,Low\n",
            "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n1,,FirstName,\n2,2020-02-13T12:00:00,EGV,108.0936\n3,2020-02-13T12:05:00,EGV,Low\n",
            "Glucose Data,Generated on,13-02-2020\nDevice,Serial Number,Device Timestamp,Record Type,Historic Glucose mmol/L,Scan Glucose mmol/L\nx,y,13-02-2020 12:00,0,6.0,\nx,y,13-02-2020 12:05,0,LO,\nx,y,13-02-2020 12:06,1,,6.1\n",
            "Date;Time;Sensor Glucose (mmol/L)\n2020/02/13;12:00:00;6,0\n2020/02/13;12:05:00;LOW\n",
            "time,value,unit\n2020-02-13 12:00,6.0,mmol/L\n2020-02-13 12:05,40,mg/dL\n",
            "dateString,sgv\n2020-02-13T12:05:00,40\n2020-02-13T12:00:00,108.0936\n",
        ] {
            let found = of(text).unwrap();
            assert_eq!(found.readings.len(), 2, "{text}");
            assert_eq!(found.readings[1].0 - found.readings[0].0, 300, "{text}");
            assert!((found.readings[0].1 - 108.0936).abs() < 1e-6 && found.readings[1].1 == 40.0, "{text}");
            assert!(found.unit.is_some(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_by_line() {
        let column = "timestamp,glucose\n";
        assert_eq!(of("timestamp,pulse\n"), Err(TableError::NoHeader.into()));
        assert_eq!(of("glucose\n100\n"), Err(TableError::NoHeader.into()));
        assert_eq!(of(""), Err(TableError::Empty.into()));
        for bad in ["NaN", "inf", "many", "1e999"] {
            let text = format!("{column}2020-02-13 12:00,100\n2020-02-13 12:05,{bad}\n");
            assert_eq!(of(&text), Err(GlucoseError::Value { line: 3 }), "{bad}");
        }
        let text = format!("{column}2020-02-13 12:00,100\nsoon,100\n");
        assert_eq!(of(&text), Err(TimeError::Malformed { line: 3 }.into()));
        let text = "timestamp,glucose,unit\n2020-02-13 12:00,100,g\n";
        assert_eq!(of(text), Err(GlucoseError::Unit { line: 2 }));
        let other = read(b"timestamp,glucose_mg_dl\n2020-02-13 12:00,100\n".to_vec(), Some(Unit::MmolPerL));
        assert_eq!(other, Err(GlucoseError::OtherUnit));
    }

    #[test]
    fn a_unit_that_nobody_says_is_not_made_up() {
        let text = "timestamp,glucose\n2020-02-13 12:00,6.0\n";
        assert_eq!(of(text).unwrap().unit, None);
        let said = read(text.as_bytes().to_vec(), Some(Unit::MmolPerL)).unwrap();
        assert!((said.readings[0].1 - 108.0936).abs() < 1e-6);
    }

    #[test]
    fn units_are_read_by_ucum_and_as_people_write_them() {
        assert_eq!(Unit::parse("mg/dL"), Some(Unit::MgPerDl));
        assert_eq!(Unit::parse("mmol/l"), Some(Unit::MmolPerL));
        assert_eq!(Unit::parse("g/L"), None);
    }
}
