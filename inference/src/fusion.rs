//! What several readings of one patient say together: each one's concern, its share, its age and how sure it is, what
//! contradicts, and what is missing. Nothing here is learned: no data exist in which one patient has all of these, so
//! constants with their sources combine them, and the panel says so. It is no probability of any disease.

mod contradiction;
mod drawing;
mod pool;
mod source;
mod vitals;

pub use contradiction::{RATES_APART_PER_MIN, RATES_WITHIN_H, apart, rates_differ};
pub use drawing::bars;
pub use pool::{Contribution, NothingKnown, OLDEST_HALF_LIVES, Panel, panel};
pub use source::{
    EcgFacts, GlucoseFacts, Kind, Level, SelfCheckFacts, Source, ecg, glucose, image, reliability, risk,
    self_check,
};
pub use vitals::{NEWS2_LEAST_AGE_YEARS, Score, VitalSign, score, vitals};

/// How the panel is made, in words.
pub const METHOD: &str = "untrained: each reading becomes a concern from 0 to 1 by a table of constants; weight = reliability \
    (2·AUROC − 1 of the model's card, 1 for rules) × freshness (halved with each half-life of its kind); concern = the \
    weighted mean of log-odds (logarithmic opinion pool, Genest and Zidek 1986); the level is that of the most urgent \
    reading, whatever the others say";
/// What it is not.
pub const LIMITS: &[&str] = &[
    "It is not a probability of any disease: concerns are constants that people chose, not frequencies.",
    "Nobody has measured whether it helps: no data exist in which one patient has all of these readings with an outcome.",
    "Readings count as independent; two that rest on the same heart rate count twice.",
    "What is missing is not known; it never counts as fine.",
    "Single vital signs are scored by NEWS2; consciousness and oxygen given are not read, so no total is given.",
];
/// What to do, whatever it says.
pub const ADVICE: &str = "Look at each reading itself before acting on this panel, and at the patient before all. With chest pain, \
    trouble breathing, fainting, confusion or anything else that worries you call the local emergency number, whatever \
    stands here.";
