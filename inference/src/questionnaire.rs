//! Questionnaires of FHIR R4 with the parts of Structured Data Capture that self-assessment needs: what is asked
//! next, which answers are possible, what follows from them, and the response as FHIR.
//!
//! ```text
//! FHIR Questionnaire ─ read ─▶ Questionnaire ─▶ Filling: answer, open questions, missing, calculated
//!                                                  └─▶ FHIR QuestionnaireResponse
//! PHQ-9, GAD-7 (bundled) ─▶ Score: total, severity, what is missing, whether somebody must act now
//! ```
//!
//! Read are items of the types group, display, boolean, integer, decimal, date, string, text and choice; options
//! by `answerOption` or a contained value set; `enableWhen` with every operator; `initial`; limits of values and
//! lengths; `hidden`; translations; ordinals; `calculatedExpression` and `variable` in a part of FHIRPath
//! (`expression`). Anything else that would change the meaning is refused when the questionnaire is read:
//! other types, groups that repeat, value sets elsewhere, modifier extensions.
//!
//! Nothing here knows whose answers they are, and no error repeats one.

mod answer;
mod expression;
mod filling;
mod instrument;
mod item;
mod reading;
mod response;

pub use answer::{Answer, Coding, Text};
pub use expression::{ExpressionError, evaluation::CalculationError};
pub use filling::{AnswerError, Filling, MAX_ANSWERS, MAX_TEXT_BYTES};
pub use instrument::{Band, Crisis, Instrument, InstrumentError, Score};
pub use item::{AnswerOption, Item, Kind, Limits};
pub use reading::{MAX_DEPTH, MAX_ITEMS, MAX_OPTIONS, Questionnaire, QuestionnaireError};
pub use response::ResponseError;
