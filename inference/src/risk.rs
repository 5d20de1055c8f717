//! Reading a risk out of what is known about a person: one engine for several models, each a weighted sum whose parts
//! can be told field by field.
//!
//! ```text
//! text ─ Fields ─▶ Values ─ too little known ─▶ Refusal
//!                    └─ RiskModel: members, each its own centre and weights ─ calibrated ─▶ Assessment
//!                                                                  probability, interval, parts, missing
//! ```
//!
//! What a model asks for lies beside its weights as `fields.toml`. A value that is not known adds nothing to the sum,
//! so that it counts as the average of those it was learned from, and is named in the answer.

mod decision;
mod design;
mod fields;
mod figures;
mod model;
mod network;
mod people;
mod reading;
#[cfg(feature = "train")]
mod training;

pub use decision::{Platt, RiskDecision};
pub use fields::{Category, Field, Fields, FieldsError, Kind, Learning, Outcome, Split, Supply, UnitFactor};
pub use figures::measure;
pub use model::{Assessment, Missing, Part, Refusal, RiskModel};
pub use people::LabelledPerson;
pub use reading::{Header, Known, Value, ValueError, Values};
#[cfg(feature = "train")]
pub use training::{RiskTrainError, train};

/// The name of the model of heart disease in the list of models.
pub const HEART_MODEL: &str = "heart-disease";
/// The name of the model of readmission.
pub const READMISSION_MODEL: &str = "readmission-30d";
/// The name of the model of breast masses.
pub const BREAST_MODEL: &str = "breast-mass";

/// All models of this kind.
pub const RISK_MODELS: [&str; 3] = [HEART_MODEL, READMISSION_MODEL, BREAST_MODEL];
