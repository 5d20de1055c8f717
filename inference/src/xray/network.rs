//! The network: a small residual network (He et al., CVPR 2016, the 18 layers of ResNet-18 at an eighth of their
//! width), and of it as many members as were learned from other chance; their logits are averaged. Batch
//! normalisation is folded into the convolutions, so that what is shipped is convolutions and a weighted sum.
//!
//! ```text
//! [images, 1, 28, 28] ─ stem ─ 2 blocks ×8 ─ 2 blocks ×16 ─ 2 blocks ×32 ─ 2 blocks ×64 ─ mean ─▶ vector [images, 64] ─▶ logit [images]
//! ```

use burn::module::{Module, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Bytes, Device, Tensor, TensorData};

use super::conditioning::{SIDE, Square};
use super::familiarity::{Subspace, Subspaces};

/// Channels of the first stage; each later one has twice as many, at half the side.
pub(crate) const WIDTH: usize = 8;
/// Channels of the last stage: the length of the vector that describes an image.
pub(crate) const VECTOR: usize = 8 * WIDTH;
/// Mean and deviation of grey over the training images, rounded: what the network takes for 0 and 1.
const GREY: (f32, f32) = (0.57, 0.17);

/// Where a convolution stands: channels in and out, side of its kernel, stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

impl Shape {
    /// Of its weights.
    pub(crate) fn weights(self) -> [usize; 4] {
        [self.outputs, self.inputs, self.kernel, self.kernel]
    }
}

/// The stem, then for each block its two convolutions and, where it changes size, its short cut.
pub(crate) struct Plan {
    pub(crate) stem: Shape,
    pub(crate) blocks: Vec<(Shape, Shape, Option<Shape>)>,
}

/// The plan of a member.
pub(crate) fn plan() -> Plan {
    let shape = |inputs, outputs, kernel, stride| Shape { inputs, outputs, kernel, stride };
    let mut blocks = Vec::new();
    let mut inputs = WIDTH;
    for (outputs, stride) in [(WIDTH, 1), (2 * WIDTH, 2), (4 * WIDTH, 2), (8 * WIDTH, 2)] {
        let short = (stride != 1).then(|| shape(inputs, outputs, 1, stride));
        blocks.push((shape(inputs, outputs, 3, stride), shape(outputs, outputs, 3, 1), short));
        blocks.push((shape(outputs, outputs, 3, 1), shape(outputs, outputs, 3, 1), None));
        inputs = outputs;
    }
    Plan { stem: shape(1, WIDTH, 3, 1), blocks }
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
    /// `[images, inputs, side, side]` to `[images, outputs, side / stride, side / stride]`
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let options = options(weight.dims()[2], self.stride);
        conv2d(input, weight, Some(self.bias.val()), options)
    }
}

/// How a kernel of this side is laid over an image so that stride 1 keeps its side.
pub(crate) fn options(kernel: usize, stride: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1)
}

#[derive(Module, Debug)]
struct Block {
    first: Conv,
    second: Conv,
    short: Option<Conv>,
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inside = self.second.forward(relu(self.first.forward(input.clone())));
        let beside = match &self.short {
            Some(short) => short.forward(input),
            None => input,
        };
        relu(inside + beside)
    }
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
    /// The vectors `[images, VECTOR]` and the logits `[images, 1]` of images `[images, 1, SIDE, SIDE]`.
    pub(crate) fn forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let mut values = relu(self.stem.forward(images)); // [images, WIDTH, 28, 28]
        for block in &self.blocks {
            values = block.forward(values); // … [images, VECTOR, 4, 4]
        }
        let [images, channels, high, wide] = values.dims();
        let vectors = values.reshape([images, channels, high * wide]).mean_dim(2).reshape([images, channels]);
        let logits = vectors.clone().matmul(self.weight.val()) + self.bias.val().unsqueeze();
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

/// All members, and what usual images look like to the eye and to the members.
#[derive(Module, Debug)]
pub(crate) struct Network {
    members: Vec<Member>,
    usual: Subspaces,
}

/// What the network says of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// The mean logit of the members: above 0 is pneumonia, before calibration.
    pub(crate) logit: f32,
    /// The vectors of all members, one after the other.
    pub(crate) vector: Vec<f32>,
}

/// Images that are judged at once: more only takes memory.
const BATCH: usize = 64;

impl Network {
    /// Joins what was learned.
    pub(crate) fn of(members: &[MemberValues], usual: [Subspace; 2], device: &Device) -> Option<Network> {
        let mut numbering = Numbering { next: 0, device };
        let members = members.iter().map(|values| numbering.member(values)).collect::<Option<_>>()?;
        Some(Network { members, usual: Subspaces::of(usual, &mut numbering) })
    }

    /// Reads weights in burn's own format; `None` if they are not those of this network.
    pub(crate) fn read(bytes: &[u8], members: usize, device: &Device) -> Option<Network> {
        let zeros = |shape: Shape| (vec![0.0; shape.weights().iter().product()], vec![0.0; shape.outputs]);
        let Plan { stem, blocks } = plan();
        let blocks = blocks.into_iter().flat_map(|(first, second, short)| [Some(first), Some(second), short]);
        let empty = MemberValues {
            convolutions: std::iter::once(stem).chain(blocks.flatten()).map(zeros).collect(),
            sum: (vec![0.0; VECTOR], vec![0.0]),
        };
        let empty: Vec<MemberValues> = std::iter::repeat_with(|| empty.clone()).take(members).collect();
        let network = Network::of(&empty, Subspace::empty(members * VECTOR), device)?;
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).ok()?;
        network.try_load_record(record.cast_to_module_dtype()).ok()
    }

    /// The weights in burn's own format, as numbers of 16 bits.
    #[cfg(feature = "train")]
    pub(crate) fn write(self) -> Option<Vec<u8>> {
        let halves = self.map(&mut Halves);
        Some(halves.into_record().into_bytes().ok()?.to_vec())
    }

    /// The number of learned values.
    pub(crate) fn parameters(&self) -> usize {
        self.num_params()
    }

    /// How unusual an image is, see [`Subspaces`].
    pub(crate) fn usual(&self) -> &Subspaces {
        &self.usual
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

/// Images as a tensor, grey centred. `[images, 1, SIDE, SIDE]`
pub(crate) fn tensor(squares: &[Square], device: &Device) -> Tensor<4> {
    let (mean, deviation) = GREY;
    let values: Vec<f32> = squares.iter().flatten().map(|grey| (grey - mean) / deviation).collect();
    Tensor::from_data(TensorData::new(values, [squares.len(), 1, SIDE, SIDE]), device)
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

/// Rounds everything to 16 bits.
#[cfg(feature = "train")]
struct Halves;

#[cfg(feature = "train")]
impl burn::module::ModuleMapper for Halves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(burn::tensor::FloatDType::F16))
    }
}
