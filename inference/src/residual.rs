//! Residual networks as they run: the channels of a place lie together, `[images, high, wide, channels]`, so that a
//! convolution is a product of matrices over a view of the images that copies nothing.
//!
//! ```text
//! images, one column and one row of zeros between neighbours:   0 a b c 0 d e f 0 …
//! a window of three places is three times the channels in a row: [0 a b] [a b c] [b c 0] … times a row of the kernel
//! ```
//!
//! The kernels are laid out once, when the weights are read. `bench resnet` compares with other runtimes.

use burn::tensor::activation::relu;
use burn::tensor::{Tensor, s};

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

impl Plan {
    /// The 18 layers of He et al. (CVPR 2016), from so many channels of small images; each of the four stages has twice as
    /// many channels as the one before, at half the side.
    pub(crate) fn of(inputs: usize, width: usize) -> Plan {
        let shape = |inputs, outputs, kernel, stride| Shape { inputs, outputs, kernel, stride };
        let mut blocks = Vec::new();
        let mut before = width;
        for (outputs, stride) in [(width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)] {
            let short = (stride != 1).then(|| shape(before, outputs, 1, stride));
            blocks.push((shape(before, outputs, 3, stride), shape(outputs, outputs, 3, 1), short));
            blocks.push((shape(outputs, outputs, 3, 1), shape(outputs, outputs, 3, 1), None));
            before = outputs;
        }
        Plan { stem: shape(inputs, width, 3, 1), blocks }
    }

    /// All convolutions in order: of each block the first, the second, the short cut.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        let blocks =
            self.blocks.iter().flat_map(|&(first, second, short)| [Some(first), Some(second), short]);
        std::iter::once(self.stem).chain(blocks.flatten()).collect()
    }
}

/// A convolution, its kernel laid out for [`Convolution::forward`].
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    shape: Shape,
    /// `[kernel × kernel × inputs, outputs]`
    whole: Tensor<2>,
    /// The rows of the kernel, each `[kernel × inputs, outputs]`.
    rows: Vec<Tensor<2>>,
    /// `[outputs]`
    bias: Tensor<1>,
}

/// Zeros between neighbours may add this much work; more, and copying the windows together is cheaper.
const MOST_WASTE: f32 = 1.4;

impl Convolution {
    /// From weights `[outputs, inputs, kernel, kernel]`.
    pub(crate) fn of(shape: Shape, weight: Tensor<4>, bias: Tensor<1>) -> Convolution {
        let Shape { inputs, outputs, kernel, .. } = shape;
        let [row, all] = [kernel * inputs, kernel * kernel * inputs];
        let whole = own(weight.permute([2, 3, 1, 0]).reshape([all, outputs]));
        let rows = (0..kernel).map(|at| own(whole.clone().slice([at * row..(at + 1) * row, 0..outputs])));
        Convolution { shape, rows: rows.collect(), whole, bias }
    }

    /// `[images, high, wide, inputs]` to `[images, high / stride, wide / stride, outputs]`, rounded up.
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, high, wide, _] = images.dims();
        let waste = ((high + 1) * (wide + 1)) as f32 / (high * wide) as f32;
        if self.shape.kernel == 3 && self.shape.stride == 1 && waste <= MOST_WASTE {
            self.over_views(images)
        } else {
            self.over_copies(images)
        }
    }

    /// The kernel has three rows and columns, the stride is 1.
    fn over_views(&self, images: Tensor<4>) -> Tensor<4> {
        let [count, high, wide, inputs] = images.dims();
        let (high_0, wide_0, outputs) = (high + 1, wide + 1, self.shape.outputs);
        let places = count * high_0 * wide_0;
        // A row of zeros above and a column to the left of each image are also those below and to the right of the one before;
        // the last image needs some more.
        let zeroed = images.pad([(0, 0), (1, 0), (1, 0), (0, 0)], 0.0).reshape([places, inputs]);
        let more = Tensor::zeros([2 * wide_0 + 2, inputs], &self.bias.device());
        let flat: Tensor<1> =
            Tensor::cat(vec![zeroed, more], 0).reshape([(places + 2 * wide_0 + 2) * inputs]);
        let windows: Tensor<2> = flat.unfold(0, 3 * inputs, inputs); // [places + …, 3 × inputs], nothing copied
        let row = |(at, row): (usize, &Tensor<2>)| {
            let start = at * wide_0;
            windows.clone().slice([start..start + places, 0..3 * inputs]).matmul(row.clone())
        };
        let sum = self.rows.iter().enumerate().map(row).reduce(|sum, row| sum + row);
        let sum = sum.expect("the kernel has rows").reshape([count, high_0, wide_0, outputs]);
        // What was worked out across a border is left out.
        sum.slice([0..count, 0..high, 0..wide, 0..outputs]) + self.bias.clone().reshape([1, 1, 1, outputs])
    }

    /// Any kernel and stride: the windows are copied together.
    fn over_copies(&self, images: Tensor<4>) -> Tensor<4> {
        let [count, _, _, inputs] = images.dims();
        let Shape { kernel, stride, outputs, .. } = self.shape;
        let beside = kernel / 2;
        let images = images.pad([(0, 0), (beside, beside), (beside, beside), (0, 0)], 0.0);
        let [_, high_0, wide_0, _] = images.dims();
        let (high, wide) = ((high_0 - kernel) / stride + 1, (wide_0 - kernel) / stride + 1);
        let rows: Tensor<4> =
            images.reshape([count, high_0, wide_0 * inputs]).unfold(2, kernel * inputs, stride * inputs);
        let row = |at: usize| {
            let last = at + stride * (high - 1) + 1;
            let row = rows.clone().slice(s![0..count, at..last;stride as isize, 0..wide, ..]);
            row.reshape([count * high * wide, kernel * inputs])
        };
        let windows = Tensor::cat((0..kernel).map(row).collect(), 1); // [places, kernel × kernel × inputs]
        let product = windows.matmul(self.whole.clone()) + self.bias.clone().reshape([1, outputs]);
        product.reshape([count, high, wide, outputs])
    }
}

/// With values of its own, laid out as its shape says.
fn own(tensor: Tensor<2>) -> Tensor<2> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device)
}

/// Two convolutions beside a short cut.
#[derive(Clone, Debug)]
struct Block {
    first: Convolution,
    second: Convolution,
    short: Option<Convolution>,
}

impl Block {
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let inside = self.second.forward(relu(self.first.forward(images.clone())));
        let beside = match &self.short {
            Some(short) => short.forward(images),
            None => images,
        };
        relu(inside + beside)
    }
}

/// A residual network up to the vector that describes an image.
#[derive(Clone, Debug)]
pub(crate) struct Residual {
    stem: Convolution,
    /// Large images are halved once more after the stem.
    pooled: bool,
    blocks: Vec<Block>,
}

impl Residual {
    /// Takes the convolutions in the order of [`Plan::shapes`]; `None` when there are too few.
    pub(crate) fn of(
        plan: &Plan,
        pooled: bool,
        mut next: impl FnMut(Shape) -> Option<Convolution>,
    ) -> Option<Residual> {
        let stem = next(plan.stem)?;
        let mut blocks = Vec::with_capacity(plan.blocks.len());
        for &(first, second, short) in &plan.blocks {
            blocks.push(Block {
                first: next(first)?,
                second: next(second)?,
                short: match short {
                    Some(short) => Some(next(short)?),
                    None => None,
                },
            });
        }
        Some(Residual { stem, pooled, blocks })
    }

    /// The vectors `[images, channels of the last stage]` of images `[images, high, wide, channels]`.
    pub(crate) fn vectors(&self, images: Tensor<4>) -> Tensor<2> {
        let mut values = relu(self.stem.forward(images));
        if self.pooled {
            values = halved(values);
        }
        for block in &self.blocks {
            values = block.forward(values);
        }
        let [images, high, wide, channels] = values.dims();
        values.reshape([images, high * wide, channels]).mean_dim(1).reshape([images, channels])
    }
}

/// The largest of each 3 × 3 places, at every second place. No value is below zero, so zeros around are as good as none.
fn halved(values: Tensor<4>) -> Tensor<4> {
    let largest = |values: Tensor<4>, along: usize| {
        let count = (values.dims()[along] - 1) / 2;
        let every_second = |from: usize| {
            let mut wanted = [s![..]; 4];
            wanted[along] = s![from..from + 2 * (count - 1) + 1; 2];
            values.clone().slice(wanted)
        };
        every_second(0).max_pair(every_second(1)).max_pair(every_second(2))
    };
    let padded = values.pad([(0, 0), (1, 1), (1, 1), (0, 0)], 0.0);
    largest(largest(padded, 1), 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::{conv2d, max_pool2d};
    use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::Backend;
    use crate::chance::Chance;

    fn random<const D: usize>(chance: &mut Chance, shape: [usize; D], device: &Device) -> Tensor<D> {
        let values = (0..shape.iter().product()).map(|_| chance.normal()).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn apart(ours: Tensor<4>, theirs: Tensor<4>) -> f32 {
        let theirs = theirs.permute([0, 2, 3, 1]);
        assert_eq!(ours.dims(), theirs.dims());
        (ours - theirs).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn a_convolution_is_the_one_of_burn_on_every_backend() {
        for backend in Backend::ALL {
            let device = backend.device();
            let mut chance = Chance::new(7, 0);
            for (side, kernel, stride) in [
                (28, 3, 1),
                (7, 3, 1),
                (4, 3, 1),
                (1, 3, 1),
                (28, 3, 2),
                (7, 3, 2),
                (9, 1, 2),
                (7, 1, 1),
                (30, 7, 2),
            ] {
                for count in [1, 3] {
                    let shape = Shape { inputs: 5, outputs: 6, kernel, stride };
                    let images = random(&mut chance, [count, 5, side, side + 1], &device);
                    let weight = random(&mut chance, shape.weights(), &device);
                    let bias = random(&mut chance, [6], &device);
                    let options = ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
                    let theirs = conv2d(images.clone(), weight.clone(), Some(bias.clone()), options);
                    let ours = Convolution::of(shape, weight, bias).forward(images.permute([0, 2, 3, 1]));
                    let apart = apart(ours, theirs);
                    assert!(apart < 1e-4, "{backend} {side} {kernel} {stride} {count}: {apart}");
                }
            }
        }
    }

    #[test]
    fn large_images_are_halved_as_by_burn() {
        let device = Backend::default().device();
        let mut chance = Chance::new(8, 0);
        for side in [9, 12] {
            let images = relu(random(&mut chance, [2, 3, side, side], &device));
            let mut options = MaxPoolOptions::new([3, 3]);
            options.stride = [2, 2];
            options.padding = [(1, 1); 2];
            let theirs = max_pool2d(images.clone(), options);
            assert!(apart(halved(images.permute([0, 2, 3, 1])), theirs) < 1e-6);
        }
    }
}
