//! Reading a frontal chest radiograph: is it one, does it look like pneumonia, and what speaks for that.
//!
//! ```text
//! Origin ─ check ─▶ Refusal
//! GrayImage ─ middle square, 28 × 28 ─ exposure, familiarity ─▶ Refusal
//!     └──────────────────────────────── XrayModel ─▶ XrayFinding, Saliency ─▶ Overlay
//! ```
//!
//! 28 pixels show where a lung is clouded, and hardly more: no nodule, no fracture, no thin line, no early or
//! small infiltrate can be seen at this size, by whomever.

mod classifier;
mod conditioning;
mod decision;
mod familiarity;
mod figures;
mod image;
mod network;
mod refusal;
mod saliency;
#[cfg(feature = "train")]
mod training;
mod warp;

pub use classifier::{CALLED_FROM, XRAY_MODEL, XrayFinding, XrayModel};
pub use conditioning::SIDE;
pub use decision::XrayDecision;
pub use familiarity::Distance;
pub use figures::{compare, measure};
pub use image::{GrayImage, ImageError, LabelledXray, MAX_PIXELS, MIN_SIDE};
pub use refusal::{Origin, Refusal};
pub use saliency::{MAX_DRAWN_SIDE, Overlay, Saliency};
#[cfg(feature = "train")]
pub use training::{XrayEpoch, XrayTrainError, XrayTrained, XrayWatch, train};
