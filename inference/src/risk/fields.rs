//! What a model asks for: its fields as data, with unit, allowed range, other spellings, and where a stored record can
//! supply them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{BREAST_MODEL, HEART_MODEL, READMISSION_MODEL};

/// The most fields of a model, and columns of a field.
const MAX_FIELDS: usize = 128;
const MAX_COLUMNS: usize = 64;

/// What a model asks for and what it answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// What the probability is of.
    pub outcome: Outcome,
    /// A probability from here on is called so in the figures.
    pub called_from: f32,
    /// Why that one, in a sentence.
    pub called_why: String,
    /// With fewer fields known nothing is said.
    pub least_known: usize,
    /// How it is learned.
    pub learning: Learning,
    /// In the order in which they are asked.
    pub fields: Vec<Field>,
}

/// What a probability is of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// In words.
    pub label: String,
    /// SNOMED CT, where there is a concept that means just this.
    pub snomed: Option<String>,
    /// By when, in words.
    pub when: String,
}

/// How a model is learned.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// What is never on both sides of a split.
    pub split: Split,
    /// Members for each part left out, each of other draws of people.
    pub draws: usize,
    /// How strongly large weights are held back: half the sum of their squares times this is added to the mean loss.
    pub penalty: f64,
    /// Steps over everything.
    pub epochs: usize,
    /// Whether that a value is missing may itself say something.
    pub indicate_missing: bool,
}

/// What is never on both sides of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// A hospital.
    Site,
    /// A patient, with all that is known of them.
    Patient,
}

/// One thing that is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in files and on the command line.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// A number, one of several, or yes or no.
    pub kind: Kind,
    /// The unit of a number, in UCUM; empty for a count or a ratio.
    #[serde(default)]
    pub unit: String,
    /// The lowest and highest number that is believed.
    pub range: Option<[f64; 2]>,
    /// Where the slope of a number may change.
    #[serde(default)]
    pub knots: Vec<f64>,
    /// Whether it must be known.
    #[serde(default)]
    pub needed: bool,
    /// Other names of it, such as the column of a public data set.
    #[serde(default)]
    pub also: Vec<String>,
    /// Spellings that mean that it is not known, beside the usual ones.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Other units with the factor that turns them into `unit`.
    #[serde(default)]
    pub units: Vec<UnitFactor>,
    /// What one of several may be; yes and no are made by themselves.
    #[serde(default)]
    pub categories: Vec<Category>,
    /// Where a stored record can supply it.
    pub supply: Option<Supply>,
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A number.
    Number,
    /// One of several.
    Category,
    /// Yes or no.
    YesNo,
}

/// A unit, and the factor that turns it into the field's own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitFactor {
    /// UCUM.
    pub unit: String,
    /// Multiplied with.
    pub factor: f64,
}

/// One of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Other spellings; those that are numbers are compared as numbers.
    #[serde(default)]
    pub also: Vec<String>,
    /// Whole ICD-9-CM codes, lowest and highest.
    #[serde(default)]
    pub icd9: Vec<[u16; 2]>,
    /// Every other ICD-9-CM code.
    #[serde(default)]
    pub icd9_rest: bool,
}

/// Where a stored record can supply a field.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from", deny_unknown_fields)]
pub enum Supply {
    /// Whole years since the birth date of the Patient.
    Age,
    /// The administrative gender of the Patient, where it is female or male.
    Sex,
    /// The newest Observation with one of these LOINC codes.
    Observation {
        /// LOINC.
        loinc: Vec<String>,
        /// Observations that hold it as a component, by their own LOINC codes.
        #[serde(default)]
        panels: Vec<String>,
        /// Where the number becomes a category: yes above it.
        above: Option<f64>,
        /// … or names of categories with the number up to which each goes, the last without end.
        #[serde(default)]
        bands: Vec<(String, f64)>,
        /// The units that are read for it when the field itself is no number.
        #[serde(default)]
        units: Vec<UnitFactor>,
    },
    /// Days of the newest finished inpatient Encounter.
    StayDays,
    /// Encounters of a class in the year before the newest finished inpatient one.
    EncountersYearBefore {
        /// The code of HL7 v3 ActCode.
        class: String,
    },
}

/// Why fields are not used. They are part of the program, so this is a mistake in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldsError {
    /// Not TOML, or with unknown members.
    #[error("the fields of the model cannot be read")]
    Malformed,
    /// A name twice, or none.
    #[error("the field {0} is there twice or has no name")]
    Name(String),
    /// Without a range, with knots that do not rise, without categories.
    #[error("the field {0} is not what its kind needs")]
    Kind(String),
    /// No fields are known for this model.
    #[error("there are no fields of this name")]
    Unknown,
}

impl Fields {
    /// Of the compiled-in model of this name.
    ///
    /// # Errors
    /// [`FieldsError::Unknown`] for any other.
    pub fn of(model: &str) -> Result<Fields, FieldsError> {
        let text = match model {
            HEART_MODEL => include_str!("../../models/heart-disease/fields.toml"),
            READMISSION_MODEL => include_str!("../../models/readmission-30d/fields.toml"),
            BREAST_MODEL => include_str!("../../models/breast-mass/fields.toml"),
            _ => return Err(FieldsError::Unknown),
        };
        Fields::parse(text)
    }

    /// Reads and checks fields.
    ///
    /// # Errors
    /// [`FieldsError`] for what cannot be meant.
    pub fn parse(text: &str) -> Result<Fields, FieldsError> {
        let mut fields: Fields = toml::from_str(text).map_err(|_| FieldsError::Malformed)?;
        let mut names = BTreeSet::new();
        if fields.fields.is_empty() || fields.fields.len() > MAX_FIELDS || fields.learning.draws == 0 {
            return Err(FieldsError::Malformed);
        }
        for field in &mut fields.fields {
            if field.kind == Kind::YesNo {
                field.categories = yes_no();
            }
            let all = std::iter::once(&field.name).chain(&field.also).map(|name| folded(name));
            if field.name.is_empty() || !all.into_iter().all(|name| names.insert(name)) {
                return Err(FieldsError::Name(field.name.clone()));
            }
            if !field.possible() {
                return Err(FieldsError::Kind(field.name.clone()));
            }
        }
        Ok(fields)
    }

    /// The place of a field by its name or another spelling of it, whatever the case and with `_` for `-`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let wanted = folded(name.trim());
        let is =
            |field: &Field| std::iter::once(&field.name).chain(&field.also).any(|it| folded(it) == wanted);
        self.fields.iter().position(is)
    }

    /// The names of the learned columns, which weights belong to.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.fields.iter().flat_map(|field| field.columns(self.learning.indicate_missing)).collect()
    }
}

impl Field {
    fn possible(&self) -> bool {
        let ascending = |values: &[f64]| values.windows(2).all(|pair| pair[0] < pair[1]);
        match self.kind {
            Kind::Number => {
                let inside = |range: [f64; 2]| {
                    ascending(&range) && self.knots.iter().all(|knot| (range[0]..range[1]).contains(knot))
                };
                let factors = self.units.iter().all(|unit| unit.factor.is_finite() && unit.factor > 0.0);
                self.range.is_some_and(inside) && ascending(&self.knots) && factors
            }
            Kind::Category | Kind::YesNo => {
                (2..=MAX_COLUMNS).contains(&self.categories.len()) && self.knots.is_empty()
            }
        }
    }

    /// The names of its learned columns.
    pub(crate) fn columns(&self, indicate_missing: bool) -> Vec<String> {
        let mut columns = match self.kind {
            Kind::Number => {
                let knots = self.knots.iter().map(|knot| format!("{} above {knot}", self.name));
                std::iter::once(self.name.clone()).chain(knots).collect::<Vec<_>>()
            }
            // Of two, one is what the other is not.
            _ if self.categories.len() == 2 => vec![format!("{} {}", self.name, self.categories[1].name)],
            _ => self.categories.iter().map(|it| format!("{} {}", self.name, it.name)).collect(),
        };
        if indicate_missing {
            columns.push(format!("{} missing", self.name));
        }
        columns
    }
}

fn yes_no() -> Vec<Category> {
    let category = |name: &str, also: &[&str]| Category {
        name: name.to_owned(),
        also: also.iter().map(|it| (*it).to_owned()).collect(),
        icd9: Vec::new(),
        icd9_rest: false,
    };
    vec![category("no", &["0", "false", "n"]), category("yes", &["1", "true", "y"])]
}

/// Names are the same whatever their case and whether they are written with `-`, `_` or a blank.
pub(crate) fn folded(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '_' | ' ') { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::RISK_MODELS;
    use super::*;

    #[test]
    fn fields_of_every_model_are_sound() {
        for model in RISK_MODELS {
            let fields = Fields::of(model).unwrap();
            assert!(fields.least_known <= fields.fields.len());
            assert!((0.0..1.0).contains(&fields.called_from));
            let columns: BTreeSet<String> = fields.columns().into_iter().collect();
            assert_eq!(columns.len(), fields.columns().len(), "{model}: two columns of one name");
        }
        assert_eq!(Fields::of("oracle").unwrap_err(), FieldsError::Unknown);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let good = include_str!("../../models/heart-disease/fields.toml");
        let check = |from: &str, to: &str, error: FieldsError| {
            assert!(good.contains(from));
            assert_eq!(Fields::parse(&good.replacen(from, to, 1)).unwrap_err(), error, "{from} → {to}");
        };
        check("name = \"sex\"", "name = \"age\"", FieldsError::Name("age".into()));
        check("also = [\"trestbps\"]", "also = [\"chol\"]", FieldsError::Name("cholesterol".into()));
        check("range = [18, 100]", "range = [100, 18]", FieldsError::Kind("age".into()));
        check("least_known", "least", FieldsError::Malformed);
        assert_eq!(Fields::parse("").unwrap_err(), FieldsError::Malformed);
    }

    #[test]
    fn names_are_found_in_other_spellings() {
        let fields = Fields::of(HEART_MODEL).unwrap();
        for name in ["resting-systolic", "Resting_Systolic", "TRESTBPS", " trestbps "] {
            assert_eq!(fields.find(name), fields.find("resting-systolic"), "{name}");
        }
        assert_eq!(fields.find("nothing"), None);
    }
}
