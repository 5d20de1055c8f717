//! From the answers of the network to a probability, and to what is too unusual to be judged.

use serde::{Deserialize, Serialize};

use super::familiarity::Distance;

/// What training chose besides the weights, all of it on validation images that were distorted as other
/// acquisitions would have distorted them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XrayDecision {
    /// How many members the weights hold.
    pub members: usize,
    /// The logit at which sensitivity equals specificity: probability 0.5.
    pub balance: f32,
    /// The distance from there is multiplied by this (Platt, "Probabilistic outputs for support vector machines",
    /// 1999), each class counting the same.
    pub slope: f32,
    /// Grey values farther out than this are refused.
    pub grey_limits: Distance,
    /// Vectors of the members farther out than this are refused.
    pub vector_limits: Distance,
}

impl XrayDecision {
    /// The probability of pneumonia where half of the images show one.
    pub(crate) fn probability(&self, logit: f32) -> f32 {
        1.0 / (1.0 + (-self.slope * (logit - self.balance)).exp())
    }

    /// How unusual: above 1 is refused.
    pub(crate) fn novelty(&self, grey: Distance, vector: Distance) -> f32 {
        grey.against(self.grey_limits).max(vector.against(self.vector_limits))
    }
}
