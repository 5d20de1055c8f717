//! The core of a self-check: how urgent a complaint is, why, and what to do. It never says what an illness is.
//!
//! Rules with citations decide; data files hold them and the lexicon. What is not known never counts as "no",
//! and where too little is known the answer is to see a clinician. Pure, like the rest of this crate.
//!
//! Research software: its rules want a clinician's review before patients rely on them.

mod assessment;
mod context;
mod context_zh;
mod cues;
mod dialogue;
mod evidence;
mod known;
mod lexicon;
mod measure;
mod pattern;
mod rules;
mod suggestion;
mod text;
mod tokens;
mod unread;

pub use assessment::{Assessment, Basis, Reason, assess};
pub use dialogue::{Ask, Dialogue, HandOff, MAX_QUESTIONS, Question};
pub use known::{Answer, Known, Measure, Status};
pub use lexicon::{Finding, FindingKind};
pub use rules::{Advice, Case, Rule, Rules, Words};
pub use suggestion::{LEAST_SIMILARITY, MAX_SUGGESTIONS, Meanings, MeaningsError, Suggestion};
pub use text::{MAX_TEXT_BYTES, Mention, Understood, Unmatched, read_text};

/// A language of the self-check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

/// Sex, as far as rules ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// How soon help is needed, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Can be looked after at home for now.
    SelfCare,
    /// A clinician within days or hours, as the advice says.
    Clinician,
    /// Help at once.
    Emergency,
}

impl Urgency {
    /// Its name in programs' output.
    pub fn code(self) -> &'static str {
        match self {
            Urgency::SelfCare => "self_care",
            Urgency::Clinician => "clinician",
            Urgency::Emergency => "emergency",
        }
    }
}

/// Who is unwell, as far as it is known.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Person {
    /// Age in years, 0 to 125; a month is 1/12.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Whether pregnant.
    pub pregnant: Option<bool>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Person")
    }
}

impl Person {
    /// This person, and where it is silent the other.
    pub(crate) fn or(self, other: Person) -> Person {
        Person {
            age_years: self.age_years.or(other.age_years),
            sex: self.sex.or(other.sex),
            pregnant: self.pregnant.or(other.pregnant),
        }
    }
}

/// Why a self-check cannot go on. Holds nothing that a patient said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TriageError {
    /// The text is too long to be read.
    #[error("the text has {bytes} bytes, at most {MAX_TEXT_BYTES} are read; tell it in fewer words")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value that no patient can have.
    #[error("the value is not one a patient can have; check number and unit")]
    Implausible,
    /// Rules that cannot be used.
    #[error("the rules cannot be used: {0}")]
    Rules(String),
}
