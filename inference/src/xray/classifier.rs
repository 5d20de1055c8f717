//! The model: its weights, and what it says of a picture.

use std::fmt;

use burn::tensor::Device;

use super::conditioning::{AREA, SIDE, Square, square};
use super::decision::XrayDecision;
use super::familiarity::{Distance, Subspace, grey_point};
use super::image::GrayImage;
use super::network::{Network, Said};
use super::refusal::{Refusal, check_exposure, check_shape};
use super::saliency::Saliency;
use super::warp::Warp;
use crate::{Backend, Model, ModelError, Precision};

/// The name of the model in the list of models.
pub const XRAY_MODEL: &str = "chest-xray";
/// The most members that weights are read for.
const MAX_MEMBERS: usize = 16;
/// The probability from which on pneumonia is called.
pub const CALLED_FROM: f32 = 0.5;

/// Each picture is judged as it is, a little to either side, nearer and farther: the mean is steadier than one look.
pub(crate) const LOOKS: [Warp; 5] = [
    Warp::zoom(1.0, 0.0, 0.0),
    Warp::zoom(1.0, -0.07, 0.0),
    Warp::zoom(1.0, 0.07, 0.0),
    Warp::zoom(0.93, 0.0, 0.0),
    Warp::zoom(1.07, 0.0, 0.0),
];

/// What the model says of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct XrayFinding {
    /// The probability of pneumonia, 0 to 1, as if half of all such pictures showed one.
    pub probability: f32,
    /// How unlike the training images, 0 to 1; above 1 the picture is refused.
    pub novelty: f32,
}

impl XrayFinding {
    /// Whether pneumonia is called: from a probability of ½ on.
    pub fn is_pneumonia(&self) -> bool {
        self.probability >= CALLED_FROM
    }
}

/// The model, ready to work.
pub struct XrayModel {
    network: Network,
    usual: [Subspace; 2],
    decision: XrayDecision,
    device: Device,
}

impl fmt::Debug for XrayModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "XrayModel({} members)", self.decision.members)
    }
}

impl XrayModel {
    /// Reads a model: its weights must have the hash that its card names.
    ///
    /// # Errors
    /// [`ModelError`] for other weights, or a card without a decision.
    pub fn of(model: &Model, backend: Backend) -> Result<XrayModel, ModelError> {
        model.verify()?;
        let decision = model.card.figures.decision.clone().try_into().map_err(|_| ModelError::Card)?;
        XrayModel::load(&model.weights, decision, backend)
    }

    /// Reads weights in burn's own format. Whoever calls has compared their hash with that on the card.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when they do not fit the network, [`ModelError::Card`] for an impossible decision.
    pub fn load(weights: &[u8], decision: XrayDecision, backend: Backend) -> Result<XrayModel, ModelError> {
        let limits = [decision.grey_limits, decision.vector_limits];
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let possible = (1..=MAX_MEMBERS).contains(&decision.members)
            && positive(decision.slope)
            && decision.balance.is_finite()
            && limits.iter().all(|limit| positive(limit.within) && positive(limit.beside));
        if !possible {
            return Err(ModelError::Card);
        }
        let device = backend.device();
        let network = Network::read(weights, decision.members, &device).ok_or(ModelError::Weights)?;
        let usual = network.usual().values().ok_or(ModelError::Weights)?;
        Ok(XrayModel { network, usual, decision, device })
    }

    /// Its weights, stored with this many bits. `None` when they do not fit.
    pub fn weights(self, precision: Precision) -> Option<Vec<u8>> {
        self.network.write(precision)
    }

    /// The number of learned values.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// Whether it gives numbers for a square that is even and for one with structure.
    pub(crate) fn self_test(&self) -> Result<(), ModelError> {
        let even: Square = [0.5; AREA];
        let ribs: Square = std::array::from_fn(|at| if (at / SIDE).is_multiple_of(3) { 1.0 } else { 0.2 });
        let works = [even, ribs].iter().all(|square| {
            let said = looks(&self.network, square, &self.device);
            let (grey, vector) = (self.grey_distance(square), self.usual[1].distance(&said.vector));
            let distances = [grey.within, grey.beside, vector.within, vector.beside];
            said.logit.is_finite() && distances.iter().all(|distance| distance.is_finite())
        });
        if works { Ok(()) } else { Err(ModelError::Answers) }
    }

    /// The probability of pneumonia, or why the picture is not read.
    ///
    /// # Errors
    /// [`Refusal`] for what is no frontal chest radiograph, as far as 28 pixels tell.
    pub fn read(&self, image: &GrayImage) -> Result<XrayFinding, Refusal> {
        self.read_square(&self.admit(image)?)
    }

    /// The probabilities of many pictures, for figures: those that are refused keep their place.
    pub fn read_all(&self, images: &[GrayImage]) -> Vec<Result<XrayFinding, Refusal>> {
        images.iter().map(|image| self.read(image)).collect()
    }

    /// Which parts of the picture speak for pneumonia, and which against it. Takes about fifty times as long as
    /// reading it.
    ///
    /// # Errors
    /// [`Refusal`] as for [`XrayModel::read`].
    pub fn explain(&self, image: &GrayImage) -> Result<Saliency, Refusal> {
        let square = self.admit(image)?;
        self.read_square(&square)?;
        Ok(Saliency::by_covering(&square, |squares| {
            self.network.say(squares, &self.device).into_iter().map(|said| said.logit).collect()
        }))
    }

    /// What the network sees of a picture, unless shape or exposure speak against it.
    fn admit(&self, image: &GrayImage) -> Result<Square, Refusal> {
        check_shape(image)?;
        let square = square(image);
        check_exposure(&square)?;
        Ok(square)
    }

    fn read_square(&self, square: &Square) -> Result<XrayFinding, Refusal> {
        // The grey values are cheap to judge, so they are judged before the network works.
        if self.grey_distance(square).against(self.decision.grey_limits) > 1.0 {
            return Err(self.why_unfamiliar(square));
        }
        let said = looks(&self.network, square, &self.device);
        let novelty = self.decision.novelty(self.grey_distance(square), self.usual[1].distance(&said.vector));
        if novelty > 1.0 {
            return Err(self.why_unfamiliar(square));
        }
        Ok(XrayFinding { probability: self.decision.probability(said.logit), novelty })
    }

    fn grey_distance(&self, square: &Square) -> Distance {
        self.usual[0].distance(&grey_point(square))
    }

    /// Whether an unusual picture would be usual as a negative or turned: then that is what is wrong with it.
    fn why_unfamiliar(&self, square: &Square) -> Refusal {
        let usual = |changed: Square| self.grey_distance(&changed).against(self.decision.grey_limits) <= 1.0;
        let turned = |from: fn(usize, usize) -> (usize, usize)| -> Square {
            std::array::from_fn(|at| {
                let (row, column) = from(at / SIDE, at % SIDE);
                square[row * SIDE + column]
            })
        };
        if usual(std::array::from_fn(|at| 1.0 - square[at])) {
            Refusal::Negative
        } else if usual(turned(|row, column| (SIDE - 1 - row, column))) {
            Refusal::UpsideDown
        } else if usual(turned(|row, column| (column, SIDE - 1 - row)))
            || usual(turned(|row, column| (SIDE - 1 - column, row)))
        {
            Refusal::OnItsSide
        } else {
            Refusal::Unfamiliar
        }
    }
}

/// What is said of a square: the mean logit of all looks, the vector of the first.
pub(crate) fn looks(network: &Network, square: &Square, device: &Device) -> Said {
    let said = network.say(&LOOKS.map(|look| look.apply(square)), device);
    let logit = said.iter().map(|said| said.logit).sum::<f32>() / LOOKS.len() as f32;
    Said { logit, vector: said.into_iter().next().map(|first| first.vector).unwrap_or_default() }
}
