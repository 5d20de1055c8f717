//! Why a picture is not read, in words for the person who asked, and what can be told before the network is asked:
//! where a picture comes from, its shape, its exposure.

use super::conditioning::{AREA, SIDE, Square};
use super::image::GrayImage;

/// The longer side is at most so many times the shorter: detectors are nearly square, cropped pictures are not.
const MOST_ELONGATED: f64 = 4.0;
/// Standard deviation of grey below which nothing can be told apart; the training images start at 0.025.
const LEAST_CONTRAST: f32 = 0.02;
/// The share of pixels at the ends of the scale above which too much is burnt out or black. At most 0.15 in the
/// training images; a black frame around the picture may take more.
const MOST_CLIPPED: f32 = 0.4;
/// What counts as the end of the scale: within one step of eight bits.
const CLIPPED: f32 = 1.5 / 255.0;
/// Mean step between neighbours over the standard deviation: ribs and vessels make 0.10 to 0.59 in the training
/// images, bands that run down the picture less, noise (1.1) and print more.
const ROUGHNESS: std::ops::RangeInclusive<f32> = 0.09..=0.75;
/// DICOM modalities (PS3.3 C.7.3.1.1.1) of projection radiographs, and those that say nothing.
const MODALITIES: [&str; 6] = ["CR", "DX", "RG", "OT", "SC", ""];
/// Body parts (PS3.16 annex L) that a chest radiograph may name.
const BODY_PARTS: [&str; 4] = ["CHEST", "THORAX", "LUNG", "RIB"];
/// View positions (PS3.3 C.8.1.1.1) from the side: the network learned from frontal views only.
const SIDE_VIEWS: [&str; 5] = ["LL", "RL", "LLD", "RLD", "LATERAL"];

/// Why a picture is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has colours.
    #[error("the picture is in colour, so it is no radiograph")]
    Colour,
    /// Its file names another kind of examination.
    #[error("the file says that it is no projection radiograph")]
    Modality,
    /// Its file names another part of the body.
    #[error("the file says that it does not show the chest")]
    BodyPart,
    /// Its file says that it was taken from the side.
    #[error("the file says that it is a view from the side: only frontal views are read")]
    SideView,
    /// It is far longer than wide, or wider than long.
    #[error("the picture is too elongated for a chest radiograph")]
    Elongated,
    /// There is nothing to be told apart.
    #[error("the picture has no contrast")]
    Flat,
    /// Much of it is burnt out or black.
    #[error(
        "much of the picture is black or white throughout: it is over- or underexposed, or no radiograph"
    )]
    Clipped,
    /// It has no structure as fine as ribs.
    #[error("the picture shows no structures as fine as ribs and vessels")]
    Smooth,
    /// It is noise, print or the like.
    #[error("the picture is as rough as noise or print")]
    Rough,
    /// Its negative looks like a chest.
    #[error("the picture looks like the negative of a chest radiograph: air must be dark and bone bright")]
    Negative,
    /// Upside down it looks like a chest.
    #[error("the picture looks like a chest radiograph that is upside down")]
    UpsideDown,
    /// On its side it looks like a chest.
    #[error("the picture looks like a chest radiograph that lies on its side")]
    OnItsSide,
    /// It is unlike all that the network learned from.
    #[error("the picture is unlike the frontal chest radiographs that the model learned from")]
    Unfamiliar,
}

impl Refusal {
    /// All names, for counting.
    pub const NAMES: [&'static str; 13] = [
        "colour",
        "modality",
        "body-part",
        "side-view",
        "elongated",
        "flat",
        "clipped",
        "smooth",
        "rough",
        "negative",
        "upside-down",
        "on-its-side",
        "unfamiliar",
    ];

    /// Its name in counts.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Colour => Self::NAMES[0],
            Refusal::Modality => Self::NAMES[1],
            Refusal::BodyPart => Self::NAMES[2],
            Refusal::SideView => Self::NAMES[3],
            Refusal::Elongated => Self::NAMES[4],
            Refusal::Flat => Self::NAMES[5],
            Refusal::Clipped => Self::NAMES[6],
            Refusal::Smooth => Self::NAMES[7],
            Refusal::Rough => Self::NAMES[8],
            Refusal::Negative => Self::NAMES[9],
            Refusal::UpsideDown => Self::NAMES[10],
            Refusal::OnItsSide => Self::NAMES[11],
            Refusal::Unfamiliar => Self::NAMES[12],
        }
    }
}

/// What a file says about its picture, as far as it says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Whether it has colours that can be seen.
    pub colour: bool,
    /// DICOM modality (0008,0060).
    pub modality: Option<&'a str>,
    /// DICOM body part examined (0018,0015).
    pub body_part: Option<&'a str>,
    /// DICOM view position (0018,5101).
    pub view: Option<&'a str>,
}

impl Origin<'_> {
    /// Whether it may be a frontal chest radiograph. What is not said, or not in these vocabularies, is no reason to
    /// refuse, except a modality or a body part that names something else.
    ///
    /// # Errors
    /// The [`Refusal`] for what the file says.
    pub fn check(&self) -> Result<(), Refusal> {
        let word = |text: Option<&str>| text.unwrap_or_default().trim().to_ascii_uppercase();
        if !MODALITIES.contains(&word(self.modality).as_str()) {
            return Err(Refusal::Modality);
        }
        let part = word(self.body_part);
        if !part.is_empty() && !BODY_PARTS.iter().any(|chest| part.contains(chest)) {
            return Err(Refusal::BodyPart);
        }
        if SIDE_VIEWS.contains(&word(self.view).as_str()) {
            return Err(Refusal::SideView);
        }
        if self.colour { Err(Refusal::Colour) } else { Ok(()) }
    }
}

/// Whether the shape is that of a radiograph.
pub(crate) fn check_shape(image: &GrayImage) -> Result<(), Refusal> {
    let (width, height) = (image.width() as f64, image.height() as f64);
    if width.max(height) > MOST_ELONGATED * width.min(height) { Err(Refusal::Elongated) } else { Ok(()) }
}

/// Whether exposure and structure can be those of a radiograph.
pub(crate) fn check_exposure(square: &Square) -> Result<(), Refusal> {
    let count = AREA as f32;
    let mean = square.iter().sum::<f32>() / count;
    let deviation = (square.iter().map(|grey| (grey - mean).powi(2)).sum::<f32>() / count).sqrt();
    let clipped = square.iter().filter(|grey| **grey <= CLIPPED || **grey >= 1.0 - CLIPPED).count();
    let steps = square.iter().zip(&square[SIDE..]).map(|(above, below)| (above - below).abs());
    let step = steps.sum::<f32>() / (count - SIDE as f32);
    if deviation < LEAST_CONTRAST {
        Err(Refusal::Flat)
    } else if clipped as f32 > MOST_CLIPPED * count {
        Err(Refusal::Clipped)
    } else if step < ROUGHNESS.start() * deviation {
        Err(Refusal::Smooth)
    } else if step > ROUGHNESS.end() * deviation {
        Err(Refusal::Rough)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(value: impl Fn(usize, usize) -> f32) -> Square {
        std::array::from_fn(|at| value(at / SIDE, at % SIDE))
    }

    #[test]
    fn exposure_and_structure_are_checked() {
        assert_eq!(check_exposure(&square(|_, _| 0.5)), Err(Refusal::Flat));
        let half = square(|row, column| if row < 14 { 0.0 } else { 0.3 + 0.02 * (column % 5) as f32 });
        assert_eq!(check_exposure(&half), Err(Refusal::Clipped));
        assert_eq!(check_exposure(&square(|_, column| 0.1 + column as f32 / 40.0)), Err(Refusal::Smooth));
        let lines = square(|row, _| if row % 2 == 0 { 0.2 } else { 0.8 });
        assert_eq!(check_exposure(&lines), Err(Refusal::Rough));
        let ribs = square(|row, column| 0.5 + 0.2 * (row as f32 * 0.9).sin() * (column as f32 * 0.3).cos());
        assert_eq!(check_exposure(&ribs), Ok(()));
    }

    #[test]
    fn reasons_are_counted_apart() {
        let names: std::collections::BTreeSet<_> = Refusal::NAMES.into_iter().collect();
        assert_eq!(names.len(), Refusal::NAMES.len());
        assert!(names.contains(Refusal::Unfamiliar.name()) && names.contains(Refusal::Colour.name()));
    }

    #[test]
    fn a_strip_is_no_radiograph() {
        let image = |width, height| GrayImage::new(width, height, vec![0.5; width * height]).unwrap();
        assert_eq!(check_shape(&image(30, 121)), Err(Refusal::Elongated));
        assert_eq!(check_shape(&image(120, 30)), Ok(()));
    }

    #[test]
    fn what_the_file_says_is_minded() {
        let chest =
            Origin { modality: Some("DX "), body_part: Some("chest"), view: Some("PA"), ..Origin::default() };
        assert_eq!(chest.check(), Ok(()));
        assert_eq!(Origin::default().check(), Ok(()));
        assert_eq!(Origin { modality: Some("CT"), ..chest }.check(), Err(Refusal::Modality));
        assert_eq!(Origin { body_part: Some("SKULL"), ..chest }.check(), Err(Refusal::BodyPart));
        assert_eq!(Origin { view: Some("LL"), ..chest }.check(), Err(Refusal::SideView));
        assert_eq!(Origin { colour: true, ..chest }.check(), Err(Refusal::Colour));
    }
}
