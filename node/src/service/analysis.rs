//! Statistics over records and tables: groups of patients, and the course of one measurement. Nothing here was learned from
//! others, and nothing says what is ill.

mod panel;
mod series;

pub(crate) use panel::panel_of_file;
pub(crate) use series::series_of_file;

/// The largest table that is read from disk; it may be packed.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Observations that one analysis looks at.
const MOST_OBSERVATIONS: usize = 100_000;
/// Said with every answer.
const ADVICE: &str = "Statistics over what is stored, no diagnosis: a clinician must look at the measurements themselves. \
                      Somebody who is ill now needs help, not a course: in an emergency call the local emergency number.";
