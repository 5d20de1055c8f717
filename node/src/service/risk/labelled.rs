//! Labelled people of public data sets: the four files of UCI Heart Disease, `diabetic_data.csv` (UCI, Strack 2014),
//! `wdbc.csv` as scikit-learn carries it; plain or as .xz.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use inference::risk::{
    BREAST_MODEL, Fields, HEART_MODEL, Header, LabelledPerson, READMISSION_MODEL, Value, Values,
};
use inference::sha256;

use super::super::models::Progress;
use super::super::problem::{Problem, Tried};

/// The largest file of a data set, unpacked.
const MAX_FILE_BYTES: usize = 256 << 20;
/// The most rows of a data set.
const MAX_ROWS: usize = 1_000_000;
/// Discharges after which nobody comes back: died, or in a hospice (`IDs_mapping.csv` of the data set; Strack 2014 leaves
/// them out too).
const ENDED: [&str; 6] = ["11", "13", "14", "19", "20", "21"];
/// Years at which groups of age begin.
const AGES: [(f64, &str); 3] =
    [(70.0, "70 years and older"), (50.0, "50 to 69 years"), (0.0, "under 50 years")];

/// How the labels of a data set are written.
struct Labels {
    column: &'static str,
    truth: fn(&str) -> Option<bool>,
    /// The column that says whose it is; without it every row is another patient.
    patient: Option<&'static str>,
    /// Rows with one of these in this column are left out.
    left_out: Option<(&'static str, &'static [&'static str])>,
    /// A column whose values are groups.
    group: Option<&'static str>,
    /// Whether a file is a hospital.
    sites: bool,
}

fn labels(model: &str) -> Option<Labels> {
    match model {
        HEART_MODEL => Some(Labels {
            column: "num",
            truth: |text| text.parse::<f64>().ok().filter(|it| it.is_finite()).map(|number| number > 0.0),
            patient: None,
            left_out: None,
            group: None,
            sites: true,
        }),
        READMISSION_MODEL => Some(Labels {
            column: "readmitted",
            truth: |text| match text {
                "<30" => Some(true),
                ">30" | "NO" => Some(false),
                _ => None,
            },
            patient: Some("patient_nbr"),
            left_out: Some(("discharge_disposition_id", &ENDED)),
            group: Some("race"),
            sites: false,
        }),
        BREAST_MODEL => Some(Labels {
            column: "benign",
            truth: |text| match text {
                "0" => Some(true),
                "1" => Some(false),
                _ => None,
            },
            patient: None,
            left_out: None,
            group: None,
            sites: false,
        }),
        _ => None,
    }
}

/// People of a data set, and rows that were refused with the reason.
pub(crate) struct LabelledPeople {
    pub(crate) fields: Fields,
    pub(crate) people: Vec<LabelledPerson>,
    pub(crate) refused: Vec<(String, String)>,
}

impl LabelledPeople {
    /// Reads every table of a folder that has the labels of this model.
    ///
    /// # Errors
    /// [`Problem`] when there is none, or one is no table.
    pub(crate) fn read(
        model: &str,
        folder: &Path,
        progress: Progress<'_>,
    ) -> Result<LabelledPeople, Problem> {
        let labels = labels(model).ok_or_else(|| Problem::wrong_use("this model reads no tables"))?;
        let fields = Fields::of(model).tried("read what the model asks for")?;
        let mut all = LabelledPeople { fields, people: Vec::new(), refused: Vec::new() };
        let files = tables(folder)?;
        for (index, path) in files.iter().enumerate() {
            all.file(path, &labels)?;
            progress(index + 1, files.len());
        }
        if all.people.is_empty() {
            return Err(Problem::failed(format!(
                "no table in {} has a column called {}",
                folder.display(),
                labels.column
            ))
            .next("name the folder of the data set that the card names: metaclinic models show NAME"));
        }
        Ok(all)
    }

    fn file(&mut self, path: &Path, labels: &Labels) -> Result<(), Problem> {
        let shown = path.display();
        let bytes = unpacked(path)?;
        let malformed = |error: csv::Error| Problem::failed(format!("{shown} is no table")).because(error);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        // Folders hold other tables too, and not all are UTF-8.
        let Ok(names) = reader.headers().cloned() else { return Ok(()) };
        let column = |name: &str| names.iter().position(|it| it.eq_ignore_ascii_case(name));
        let Some(label) = column(labels.column) else { return Ok(()) };
        let header = Header::of(&self.fields, &names)
            .map_err(|error| Problem::failed(format!("{shown} cannot be read")).because(error))?;
        if !header.is_any() {
            return Ok(());
        }
        let patient = labels.patient.and_then(column);
        let group = labels.group.and_then(column);
        let left_out = labels.left_out.and_then(|(name, values)| Some((column(name)?, values)));
        let site = if labels.sites { site(path) } else { String::new() };
        for row in reader.records() {
            let row = row.map_err(malformed)?;
            let line = row.position().map_or(0, csv::Position::line);
            let text = |at: usize| row.get(at).unwrap_or_default().trim();
            if left_out.is_some_and(|(at, values)| values.contains(&text(at))) {
                continue;
            }
            let name = format!("{} line {line}", path.file_name().unwrap_or_default().to_string_lossy());
            let Some(truth) = (labels.truth)(text(label)) else {
                self.refused.push((name, format!("{} is not what it can be", labels.column)));
                continue;
            };
            let values = match header.read(&self.fields, &row) {
                Ok(values) => values,
                Err(error) => {
                    self.refused.push((name, error.to_string()));
                    continue;
                }
            };
            if self.people.len() == MAX_ROWS {
                return Err(Problem::failed(format!("more than {MAX_ROWS} rows are not read")));
            }
            // Rows that are the same are the same patient, as far as can be told.
            let content = || sha256(row.iter().collect::<Vec<_>>().join(",").as_bytes());
            let patient = patient.map_or_else(content, |at| text(at).to_owned());
            let groups = groups(&self.fields, &values, group.map(text));
            self.people.push(LabelledPerson { patient, site: site.clone(), groups, values, truth });
        }
        Ok(())
    }
}

/// Groups of age and sex, and what a column says.
fn groups(fields: &Fields, values: &Values, told: Option<&str>) -> Vec<String> {
    let value = |name: &str| fields.find(name).and_then(|at| Some((&fields.fields[at], values.get(at)?)));
    let mut groups = Vec::new();
    if let Some((_, Value::Number(age))) = value("age") {
        groups.extend(AGES.iter().find(|(from, _)| age >= *from).map(|(_, name)| (*name).to_owned()));
    }
    if let Some((field, sex)) = value("sex") {
        groups.push(field.shown(sex));
    }
    if let Some(told) = told {
        groups.push(if told == "?" { "race not told".to_owned() } else { format!("race told: {told}") });
    }
    groups
}

/// `processed.cleveland.csv` is of Cleveland.
fn site(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.trim_end_matches(".xz").trim_end_matches(".csv");
    name.trim_start_matches("processed.").to_owned()
}

fn tables(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Problem::failed(format!("cannot read the folder {}", folder.display())).because(error)
    })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let table = |path: &PathBuf| {
        let name = path.to_string_lossy().to_ascii_lowercase();
        path.is_file() && (name.ends_with(".csv") || name.ends_with(".csv.xz"))
    };
    files.retain(table);
    files.sort();
    Ok(files)
}

/// The bytes of a file, out of its .xz if it is in one.
fn unpacked(path: &Path) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let cannot = |error: io::Error| Problem::failed(format!("cannot read {shown}")).because(error);
    let too_large = || Problem::failed(format!("{shown} is larger than is read"));
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE_BYTES as u64 {
        return Err(too_large());
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    if path.extension().is_none_or(|ending| ending != "xz") {
        return Ok(bytes);
    }
    let mut out = Bounded(Vec::new());
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut out).map_err(|_| {
        Problem::failed(format!("cannot unpack {shown}: it is damaged or larger than is read"))
    })?;
    Ok(out.0)
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(model: &str, files: &[(&str, &str)]) -> Result<LabelledPeople, Problem> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        LabelledPeople::read(model, dir.path(), &|_, _| {})
    }

    const HEAD: &str = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n";

    #[test]
    fn a_file_is_a_hospital_and_question_marks_are_missing() {
        let row = format!("{HEAD}63,1,4,0,?,0,1,112,1,3,2,?,?,2\n40,0,2,120,200,0,0,170,0,0,?,?,?,0\n");
        let read = read(HEART_MODEL, &[("processed.va.csv", &row), ("haberman.csv", "30,64,1,1\n")]);
        let LabelledPeople { people, refused, .. } = read.expect("read");
        assert_eq!((people.len(), refused.len()), (2, 0));
        assert_eq!(people[0].site, "va");
        assert_eq!(people[0].values.known(), 9);
        assert_eq!((people[0].truth, people[1].truth), (true, false));
        assert_eq!(people[1].groups, ["under 50 years", "female"]);
    }

    #[test]
    fn rows_that_cannot_be_are_told_and_the_others_read() {
        let row = format!("{HEAD}630,1,4,120,?,0,1,112,1,3,2,?,?,2\n40,0,2,120,200,0,0,170,0,0,?,?,?,x\n");
        let good = format!("{HEAD}63,1,4,120,?,0,1,112,1,3,2,?,?,2\n");
        let read = read(HEART_MODEL, &[("a.csv", &row), ("b.csv", &good)]).expect("read");
        assert_eq!((read.people.len(), read.refused.len()), (1, 2));
        assert!(read.refused[0].0.contains("a.csv line 2") && !read.refused[0].1.contains("630"));
    }

    #[test]
    fn who_died_is_left_out_and_stays_of_one_patient_stay_together() {
        let text = "patient_nbr,race,gender,age,time_in_hospital,number_inpatient,discharge_disposition_id,readmitted\n\
                    7,?,Male,[70-80),3,0,1,<30\n7,?,Male,[70-80),2,1,1,NO\n8,Asian,Female,[50-60),2,1,11,NO\n";
        let read = read(READMISSION_MODEL, &[("diabetic_data.csv", text)]).expect("read");
        assert_eq!(read.people.len(), 2);
        assert!(read.people.iter().all(|person| person.patient == "7"));
        assert!(read.people[0].truth && !read.people[1].truth);
        assert!(read.people[0].groups.contains(&"race not told".to_owned()));
    }

    #[test]
    fn folders_without_such_a_table_and_cut_archives_are_refused() {
        assert!(read(BREAST_MODEL, &[]).is_err());
        assert!(read(BREAST_MODEL, &[("a.csv", "x,y\n1,2\n")]).is_err());
        assert!(read(HEART_MODEL, &[("a.csv.xz", "no archive")]).is_err());
        assert!(read(HEART_MODEL, &[("a.csv", &format!("{HEAD}1,2,3\n"))]).is_err());
        assert!(read("oracle", &[]).is_err());
    }
}
