//! People to learn from and to be judged on.

use std::fmt;

use super::reading::Values;

/// A person, or a stay of one, with what became of it.
#[derive(Clone)]
pub struct LabelledPerson {
    /// Who, as the data set calls them: all of one patient stays on one side of a split.
    pub patient: String,
    /// The hospital; empty where the data do not say.
    pub site: String,
    /// Groups whose figures are told apart, such as `women`.
    pub groups: Vec<String>,
    /// What is known.
    pub values: Values,
    /// Whether it was so.
    pub truth: bool,
}

impl fmt::Debug for LabelledPerson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LabelledPerson({:?})", self.values)
    }
}
