//! The network: a small residual network (He et al., CVPR 2016, the 18 layers of ResNet-18 at an eighth of their
//! width), and of it as many members as were learned from other chance; their logits are averaged. Batch
//! normalisation is folded into the convolutions, so that what is shipped is convolutions and a weighted sum.
//!
//! ```text
//! [images, 1, 28, 28] ─ stem ─ 2 blocks ×8 ─ 2 blocks ×16 ─ 2 blocks ×32 ─ 2 blocks ×64 ─ mean ─▶ vector [images, 64] ─▶ logit [images]
//! ```

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

use super::conditioning::{SIDE, Square};
use super::familiarity::{Subspace, Subspaces};
use crate::precision::{self, Precision};
use crate::residual::{Convolution, Plan, Residual, Shape};

/// Channels of the first stage; each later one has twice as many, at half the side.
pub(crate) const WIDTH: usize = 8;
/// Channels of the last stage: the length of the vector that describes an image.
pub(crate) const VECTOR: usize = 8 * WIDTH;
/// Mean and deviation of grey over the training images, rounded: what the network takes for 0 and 1.
const GREY: (f32, f32) = (0.57, 0.17);

/// The plan of a member.
pub(crate) fn plan() -> Plan {
    Plan::of(1, WIDTH)
}

/// A convolution, its normalisation folded in.
#[derive(Module, Debug)]
pub(crate) struct Conv {
    /// `[outputs, inputs, kernel, kernel]`
    weight: Param<Tensor<4>>,
    /// `[outputs]`
    bias: Param<Tensor<1>>,
    #[module(skip)]
    stride: usize,
}

impl Conv {
    fn ready(&self) -> Convolution {
        let [outputs, inputs, kernel, _] = self.weight.dims();
        let shape = Shape { inputs, outputs, kernel, stride: self.stride };
        Convolution::of(shape, self.weight.val(), self.bias.val())
    }
}

#[derive(Module, Debug)]
struct Block {
    first: Conv,
    second: Conv,
    short: Option<Conv>,
}

/// A network that was learned from one stream of chance.
#[derive(Module, Debug)]
pub(crate) struct Member {
    stem: Conv,
    blocks: Vec<Block>,
    /// `[VECTOR, 1]`
    weight: Param<Tensor<2>>,
    /// `[1]`
    bias: Param<Tensor<1>>,
}

impl Member {
    fn ready(&self) -> Ready {
        let blocks = self.blocks.iter();
        let blocks = blocks
            .flat_map(|block| [Some(&block.first), Some(&block.second), block.short.as_ref()])
            .flatten();
        let mut convolutions = std::iter::once(&self.stem).chain(blocks).map(Conv::ready);
        let residual = Residual::of(&plan(), false, |_| convolutions.next());
        Ready {
            residual: residual.expect("a member has a convolution for each place of the plan"),
            weight: self.weight.val(),
            bias: self.bias.val(),
        }
    }
}

/// A member laid out to work.
#[derive(Clone, Debug)]
struct Ready {
    residual: Residual,
    /// `[VECTOR, 1]`
    weight: Tensor<2>,
    /// `[1]`
    bias: Tensor<1>,
}

impl Ready {
    /// The vectors `[images, VECTOR]` and the logits `[images, 1]` of images `[images, SIDE, SIDE, 1]`.
    fn forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let vectors = self.residual.vectors(images);
        let logits = vectors.clone().matmul(self.weight.clone()) + self.bias.clone().unsqueeze();
        (vectors, logits)
    }
}

/// A convolution and its values: weights and bias.
pub(crate) type Folded = (Vec<f32>, Vec<f32>);

/// What training found for a member, in the order of its [`plan`]: of each block the first convolution, the second,
/// the short cut; then the weighted sum.
#[derive(Clone)]
pub(crate) struct MemberValues {
    pub(crate) convolutions: Vec<Folded>,
    pub(crate) sum: Folded,
}

/// All members, and what usual images look like to the eye and to the members: as they are written.
#[derive(Module, Debug)]
struct Stored {
    members: Vec<Member>,
    usual: Subspaces,
}

/// What is written, and the same laid out to work.
#[derive(Debug)]
pub(crate) struct Network {
    stored: Stored,
    members: Vec<Ready>,
}

/// What the network says of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// The mean logit of the members: above 0 is pneumonia, before calibration.
    pub(crate) logit: f32,
    /// The vectors of all members, one after the other.
    pub(crate) vector: Vec<f32>,
}

impl Stored {
    fn ready(self) -> Network {
        Network { members: self.members.iter().map(Member::ready).collect(), stored: self }
    }
}

/// Images that are judged at once: as many as stay near the processor.
const BATCH: usize = 16;

impl Network {
    /// Joins what was learned.
    pub(crate) fn of(members: &[MemberValues], usual: [Subspace; 2], device: &Device) -> Option<Network> {
        let mut numbering = Numbering { next: 0, device };
        let members = members.iter().map(|values| numbering.member(values)).collect::<Option<_>>()?;
        Some(Stored { members, usual: Subspaces::of(usual, &mut numbering) }.ready())
    }

    /// Reads weights; `None` if they are not those of this network.
    pub(crate) fn read(bytes: &[u8], members: usize, device: &Device) -> Option<Network> {
        let zeros = |shape: Shape| (vec![0.0; shape.weights().iter().product()], vec![0.0; shape.outputs]);
        let empty = MemberValues {
            convolutions: plan().shapes().into_iter().map(zeros).collect(),
            sum: (vec![0.0; VECTOR], vec![0.0]),
        };
        let empty: Vec<MemberValues> = std::iter::repeat_with(|| empty.clone()).take(members).collect();
        let network = Network::of(&empty, Subspace::empty(members * VECTOR), device)?;
        Some(precision::read(network.stored, bytes)?.ready())
    }

    /// The weights.
    pub(crate) fn write(self, precision: Precision) -> Option<Vec<u8>> {
        precision::write(self.stored, precision)
    }

    /// The number of learned values.
    pub(crate) fn parameters(&self) -> usize {
        self.stored.num_params()
    }

    /// How unusual an image is, see [`Subspaces`].
    pub(crate) fn usual(&self) -> &Subspaces {
        &self.stored.usual
    }

    /// What all members together say of each image.
    pub(crate) fn say(&self, squares: &[Square], device: &Device) -> Vec<Said> {
        let mut said = Vec::with_capacity(squares.len());
        for chunk in squares.chunks(BATCH) {
            let images = tensor(chunk, device);
            let start = said.len();
            said.extend(chunk.iter().map(|_| Said { logit: 0.0, vector: Vec::new() }));
            for member in &self.members {
                let (vectors, logits) = member.forward(images.clone());
                let vectors = vectors.into_data().try_to_vec::<f32>().unwrap_or_default();
                let logits = logits.into_data().try_to_vec::<f32>().unwrap_or_default();
                for ((said, vector), logit) in
                    said[start..].iter_mut().zip(vectors.chunks(VECTOR)).zip(logits)
                {
                    said.logit += logit / self.members.len() as f32;
                    said.vector.extend_from_slice(vector);
                }
            }
        }
        said
    }
}

/// Images as a tensor, grey centred. `[images, SIDE, SIDE, 1]`
pub(crate) fn tensor(squares: &[Square], device: &Device) -> Tensor<4> {
    let (mean, deviation) = GREY;
    let values: Vec<f32> = squares.iter().flatten().map(|grey| (grey - mean) / deviation).collect();
    Tensor::from_data(TensorData::new(values, [squares.len(), SIDE, SIDE, 1]), device)
}

/// Makes parameters with numbers that rise, so that the same training gives the same bytes.
pub(crate) struct Numbering<'a> {
    pub(crate) next: u64,
    pub(crate) device: &'a Device,
}

impl Numbering<'_> {
    /// A parameter of these values. The caller vouches that they are as many as the shape holds.
    pub(crate) fn param<const D: usize>(&mut self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        self.next += 1;
        let tensor = Tensor::from_data(TensorData::new(values, shape), self.device);
        Param::initialized(ParamId::from(self.next), tensor)
    }

    fn conv(&mut self, shape: Shape, values: Option<&Folded>) -> Option<Conv> {
        let (weight, bias) = values?;
        let fits = weight.len() == shape.weights().iter().product::<usize>() && bias.len() == shape.outputs;
        fits.then(|| Conv {
            weight: self.param(weight.clone(), shape.weights()),
            bias: self.param(bias.clone(), [shape.outputs]),
            stride: shape.stride,
        })
    }

    fn member(&mut self, values: &MemberValues) -> Option<Member> {
        let Plan { stem, blocks } = plan();
        let mut next = values.convolutions.iter();
        let stem = self.conv(stem, next.next())?;
        let mut made = Vec::with_capacity(blocks.len());
        for (first, second, short) in blocks {
            made.push(Block {
                first: self.conv(first, next.next())?,
                second: self.conv(second, next.next())?,
                short: match short {
                    Some(shape) => Some(self.conv(shape, next.next())?),
                    None => None,
                },
            });
        }
        let (weight, bias) = values.sum.clone();
        if weight.len() != VECTOR || bias.len() != 1 {
            return None;
        }
        Some(Member {
            stem,
            blocks: made,
            weight: self.param(weight, [VECTOR, 1]),
            bias: self.param(bias, [1]),
        })
    }
}
