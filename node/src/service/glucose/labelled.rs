//! Persons with readings as the Glucose-ML collection lays them out: a folder for each data set with `metadata.csv`
//! (person_id, diabetes_type, …) and a table for each person.

use std::path::{Path, PathBuf};

use ::records::glucose::read;
use ::records::table::Table;
use inference::glucose::{GlucoseReading, GlucoseSeries, LabelledPerson};

use super::super::models::Progress;
use super::super::problem::{Problem, Tried};
use super::MAX_FILE_BYTES;

/// Sensors give whole numbers: a table with more broken ones than this was filled up by somebody.
const MOST_BROKEN: f64 = 0.01;
/// Readings of a table that was filled up to five minutes from fifteen.
const STEP_S: i64 = 300;
const STEPS: i64 = 3;

/// Reads all persons of all data sets of a folder, in order of their names.
///
/// # Errors
/// [`Problem`] when there is none, or a part cannot be read.
pub(crate) fn labelled_persons(
    folder: &Path,
    progress: Progress<'_>,
) -> Result<Vec<LabelledPerson>, Problem> {
    let mut files = Vec::new();
    for data_set in listed(folder)?.into_iter().filter(|path| path.join("metadata.csv").is_file()) {
        let name = name(&data_set);
        let types = types(&data_set.join("metadata.csv"))?;
        for file in listed(&data_set)? {
            let person = self::name(&file);
            let person = person.split('.').next().unwrap_or_default();
            if let Some((_, status)) = types.iter().find(|(other, _)| *other == plain(person)) {
                files.push((format!("{name}/{person}"), name.clone(), status.clone(), file));
            }
        }
    }
    if files.is_empty() {
        return Err(Problem::failed(format!("there are no persons with readings in {}", folder.display())).next(
            "name a folder with a folder for each data set: metadata.csv and PERSON.csv.gz, as in Glucose-ML",
        ));
    }
    let mut persons = Vec::with_capacity(files.len());
    let of = files.len();
    for (person, data_set, status, file) in files {
        let series = series(&file)?;
        persons.push(LabelledPerson { person, data_set, status, series });
        progress(persons.len(), of);
    }
    Ok(persons)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Problem::failed(format!("cannot read the folder {}", folder.display())).because(error)
    })?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A person's name without what tables and files write differently: `case  1` is `case_1`.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Each person and their type of diabetes.
fn types(path: &Path) -> Result<Vec<(String, String)>, Problem> {
    let bytes = std::fs::read(path).tried("read metadata.csv")?;
    let table = Table::read(bytes, &|cells| cells.iter().any(|cell| cell == "diabetes_type"))
        .tried("read metadata.csv")?;
    let column = |wanted: &str| table.columns.iter().position(|name| name == wanted);
    let (Some(person), Some(status)) = (column("person_id"), column("diabetes_type")) else {
        return Err(Problem::failed("metadata.csv names no person_id"));
    };
    Ok(table.rows.iter().map(|row| (plain(row.cell(person)), row.cell(status).to_owned())).collect())
}

fn series(path: &Path) -> Result<GlucoseSeries, Problem> {
    let bytes = super::super::records::read_table(path, MAX_FILE_BYTES)?;
    let unusable = |why: String| Problem::failed(format!("cannot use {}: {why}", path.display()));
    let found = read(bytes, None).map_err(|error| unusable(error.to_string()))?;
    let reading = |(at_s, value): (i64, f64)| GlucoseReading { at_s, mg_per_dl: value as f32 };
    let readings = measured(found.readings).into_iter().map(reading).collect();
    GlucoseSeries::new(readings).map_err(|refusal| unusable(refusal.to_string()))
}

/// What was measured. HUPA-UCM has 15-minute readings filled up to every five minutes along straight lines, which tell the
/// future: of each three places only the one where lines meet is kept, and of its values the whole ones, which also leaves
/// out holes that were filled.
fn measured(readings: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    let whole = |value: f64| (value - value.round()).abs() < 1e-6;
    let broken = readings.iter().filter(|(_, value)| !whole(*value)).count();
    if broken as f64 <= MOST_BROKEN * readings.len() as f64 {
        return readings;
    }
    let place = |at_s: i64| (at_s / STEP_S).rem_euclid(STEPS);
    let bends = |of: i64| {
        let bent = |three: &&[(i64, f64)]| {
            place(three[1].0) == of && (three[0].1 - 2.0 * three[1].1 + three[2].1).abs() > 1e-6
        };
        readings.windows(3).filter(bent).count()
    };
    let kept = (0..STEPS).max_by_key(|of| bends(*of)).unwrap_or(0);
    readings.into_iter().filter(|(at_s, value)| place(*at_s) == kept && whole(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_left_out() {
        let knots = [100.0, 104.0, 99.0, 99.0, 121.0, 140.0];
        let filled: Vec<(i64, f64)> = (0..=15)
            .map(|step| {
                let (at, part) = ((step / 3) as usize, f64::from(step % 3) / 3.0);
                let next = knots.get(at + 1).copied().unwrap_or(knots[at]);
                (600 + i64::from(step) * 300, knots[at] + part * (next - knots[at]))
            })
            .collect();
        let left = measured(filled);
        assert_eq!(left.iter().map(|(_, value)| *value).collect::<Vec<_>>(), knots);
        assert!(left.windows(2).all(|pair| pair[1].0 - pair[0].0 == 900));
    }

    #[test]
    fn whole_readings_stay_as_they_are() {
        let readings: Vec<(i64, f64)> = (0..20).map(|at| (at * 300, 100.0 + at as f64)).collect();
        assert_eq!(measured(readings.clone()), readings);
    }
}
