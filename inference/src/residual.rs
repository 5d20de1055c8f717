//! Residual networks as they run: the channels of a place lie together, so that a convolution is a product of matrices over a
//! view of the images that copies nothing.
//!
//! ```text
//! images, one column and one row of zeros between neighbours:   0 a b c 0 d e f 0 …
//! a window of three places is three times the channels in a row: [0 a b] [a b c] [b c 0] … times a row of the kernel
//! ```
//!
//! The products are the backend's; what lies between them (sum of the kernel's rows, bias, short cut, cut at zero, zeros for the
//! next convolution) is one pass over their values. Kernels are laid out once, when the weights are read. `bench peers`
//! compares with other runtimes.

use burn::tensor::{Device, Tensor, TensorData};
use pulp::Arch;

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

/// Images with a row of zeros above and a column of zeros to the left of each.
#[derive(Clone, Debug)]
pub(crate) struct Planes {
    /// `[images, high + 1, wide + 1, channels]`, then zeros of [`Planes::after`] places.
    values: Vec<f32>,
    images: usize,
    high: usize,
    wide: usize,
    channels: usize,
}

impl Planes {
    fn zeros(images: usize, high: usize, wide: usize, channels: usize) -> Planes {
        let places = images * (high + 1) * (wide + 1) + Planes::after(wide);
        Planes { values: vec![0.0; places * channels], images, high, wide, channels }
    }

    /// The row of zeros below the last image, and what a window of three places reaches beyond it.
    const fn after(wide: usize) -> usize {
        2 * (wide + 1) + 2
    }

    /// Of images `[images, high, wide, channels]`.
    pub(crate) fn of(images: Tensor<4>) -> Planes {
        let [count, high, wide, channels] = images.dims();
        let mut planes = Planes::zeros(count, high, wide, channels);
        let data = images.into_data();
        for (number, row) in floats(&data).chunks_exact(wide * channels).enumerate() {
            let start = planes.row(number / high, number % high);
            planes.values[start..start + row.len()].copy_from_slice(row);
        }
        planes
    }

    /// Where the first place of a row stands.
    fn row(&self, image: usize, y: usize) -> usize {
        ((image * (self.high + 1) + y + 1) * (self.wide + 1) + 1) * self.channels
    }

    /// The largest of each 3 × 3 places, at every second place. No value is below zero, so zeros around are as good as none.
    fn halved(&self) -> Planes {
        let channels = self.channels;
        let mut halved = Planes::zeros(self.images, self.high.div_ceil(2), self.wide.div_ceil(2), channels);
        for image in 0..halved.images {
            for y in 0..halved.high {
                let start = halved.row(image, y);
                for x in 0..halved.wide {
                    let into = &mut halved.values[start + x * channels..][..channels];
                    for beside in 0..3 {
                        // The row of zeros above is that of place -1; below the last is that of the next image, or the end.
                        let above =
                            ((image * (self.high + 1) + 2 * y + beside) * (self.wide + 1) + 2 * x) * channels;
                        for place in self.values[above..above + 3 * channels].chunks_exact(channels) {
                            for (into, value) in into.iter_mut().zip(place) {
                                *into = if *value > *into { *value } else { *into };
                            }
                        }
                    }
                }
            }
        }
        halved
    }

    /// The mean over the places, `[images, channels]`.
    fn means(&self, device: &Device) -> Tensor<2> {
        let mut means = vec![0.0_f32; self.images * self.channels];
        let share = 1.0 / (self.high * self.wide) as f32;
        for (image, mean) in means.chunks_exact_mut(self.channels).enumerate() {
            for y in 0..self.high {
                let start = self.row(image, y);
                for place in self.values[start..start + self.wide * self.channels].chunks_exact(self.channels)
                {
                    mean.iter_mut().zip(place).for_each(|(mean, value)| *mean += value * share);
                }
            }
        }
        Tensor::from_data(TensorData::new(means, [self.images, self.channels]), device)
    }
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("all tensors here are 32-bit floats")
}

/// A convolution, its kernel laid out for [`Convolution::forward`].
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    shape: Shape,
    /// `[kernel × kernel × inputs, outputs]`
    whole: Tensor<2>,
    /// The rows of the kernel, each `[kernel × inputs, outputs]`.
    rows: Vec<Tensor<2>>,
    /// As many as there are outputs.
    bias: Vec<f32>,
    device: Device,
}

/// What comes after a convolution.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// Nothing.
    Nothing,
    /// What is below zero becomes zero.
    Cut,
    /// These are added, then cut.
    AddCut(&'a Planes),
}

/// Zeros between neighbours may add this much work; more, and copying the windows together is cheaper.
const MOST_WASTE: f32 = 1.4;
/// With fewer channels the products of single rows of the kernel are too narrow.
const LEAST_INPUTS: usize = 8;

impl Convolution {
    /// From weights `[outputs, inputs, kernel, kernel]`.
    pub(crate) fn of(shape: Shape, weight: Tensor<4>, bias: Tensor<1>) -> Convolution {
        let Shape { inputs, outputs, kernel, .. } = shape;
        let [row, all] = [kernel * inputs, kernel * kernel * inputs];
        let device = weight.device();
        let whole = own(weight.permute([2, 3, 1, 0]).reshape([all, outputs]));
        let rows = (0..kernel).map(|at| own(whole.clone().slice([at * row..(at + 1) * row, 0..outputs])));
        let bias = floats(&bias.into_data()).to_vec();
        Convolution { shape, rows: rows.collect(), whole, bias, device }
    }

    /// Images of `high × wide` become such of `high / stride × wide / stride`, rounded up.
    pub(crate) fn forward(&self, images: Planes, then: Then<'_>) -> Planes {
        let waste = ((images.high + 1) * (images.wide + 1)) as f32 / (images.high * images.wide) as f32;
        let Shape { inputs, kernel, stride, .. } = self.shape;
        if kernel == 3 && stride == 1 && inputs >= LEAST_INPUTS && waste <= MOST_WASTE {
            self.over_views(images, then)
        } else {
            self.over_copies(&images, then)
        }
    }

    /// The kernel has three rows and columns, the stride is 1.
    fn over_views(&self, images: Planes, then: Then<'_>) -> Planes {
        let Planes { values, images: count, high, wide, channels } = images;
        let places = count * (high + 1) * (wide + 1);
        let length = values.len();
        let flat = Tensor::<1>::from_data(TensorData::new(values, [length]), &self.device);
        let windows: Tensor<2> = flat.unfold(0, 3 * channels, channels); // [places + …, 3 × channels], nothing copied
        let products: Vec<TensorData> = self
            .rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let start = at * (wide + 1);
                let windows = windows.clone().slice([start..start + places, 0..3 * channels]);
                windows.matmul(row.clone()).into_data()
            })
            .collect();
        let [first, second, third] = [0, 1, 2].map(|at| floats(&products[at]));
        let outputs = self.shape.outputs;
        // What was worked out across a border is left out.
        self.finish(count, high, wide, then, |image, y, into| {
            let start = (image * (high + 1) + y) * (wide + 1) * outputs;
            let of = |product: &'_ [f32]| start..(start + into.len()).min(product.len());
            let rows = first[of(first)].iter().zip(&second[of(second)]).zip(&third[of(third)]);
            into.iter_mut().zip(rows).for_each(|(into, ((a, b), c))| *into += a + b + c);
        })
    }

    /// Any kernel and stride: the windows are copied together.
    fn over_copies(&self, images: &Planes, then: Then<'_>) -> Planes {
        let Shape { inputs, outputs, kernel, stride } = self.shape;
        let beside = kernel / 2;
        let (high, wide) = (images.high.div_ceil(stride), images.wide.div_ceil(stride));
        let places = images.images * high * wide;
        let mut windows = vec![0.0_f32; places * kernel * kernel * inputs];
        for (place, window) in windows.chunks_exact_mut(kernel * kernel * inputs).enumerate() {
            let (image, y, x) = (place / (high * wide), place / wide % high, place % wide);
            // The columns of the window that lie in the image.
            let left = (x * stride).saturating_sub(beside);
            let right = (x * stride + kernel - beside).min(images.wide);
            let skipped = left + beside - x * stride;
            for (row, into) in window.chunks_exact_mut(kernel * inputs).enumerate() {
                let above = (y * stride + row).checked_sub(beside);
                let Some(above) = above.filter(|above| *above < images.high) else { continue };
                let from = images.row(image, above) + left * inputs;
                let values = &images.values[from..from + (right - left) * inputs];
                into[skipped * inputs..][..values.len()].copy_from_slice(values);
            }
        }
        let shape = [places, kernel * kernel * inputs];
        let windows = Tensor::<2>::from_data(TensorData::new(windows, shape), &self.device);
        let product = windows.matmul(self.whole.clone()).into_data();
        let product = floats(&product);
        self.finish(images.images, high, wide, then, |image, y, into| {
            let row = &product[(image * high + y) * wide * outputs..];
            into.iter_mut().zip(row).for_each(|(into, value)| *into += value);
        })
    }

    /// Row by row: the bias, what `add` adds to it, and what comes then.
    fn finish(
        &self,
        images: usize,
        high: usize,
        wide: usize,
        then: Then<'_>,
        add: impl Fn(usize, usize, &mut [f32]),
    ) -> Planes {
        let mut planes = Planes::zeros(images, high, wide, self.shape.outputs);
        let bias = self.bias.repeat(wide);
        Arch::new().dispatch(|| {
            for image in 0..images {
                for y in 0..high {
                    let start = planes.row(image, y);
                    let row = start..start + bias.len();
                    let into = &mut planes.values[row.clone()];
                    into.copy_from_slice(&bias);
                    add(image, y, into);
                    match then {
                        Then::Nothing => {}
                        Then::Cut => cut(into),
                        Then::AddCut(beside) => {
                            let beside = &beside.values[row];
                            into.iter_mut().zip(beside).for_each(|(into, value)| *into += value);
                            cut(into);
                        }
                    }
                }
            }
        });
        planes
    }
}

#[inline(always)]
fn cut(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
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
    fn forward(&self, images: Planes) -> Planes {
        let beside = match &self.short {
            Some(short) => short.forward(images.clone(), Then::Nothing),
            None => images.clone(),
        };
        self.second.forward(self.first.forward(images, Then::Cut), Then::AddCut(&beside))
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
        let mut values = self.stem.forward(Planes::of(images), Then::Cut);
        if self.pooled {
            values = values.halved();
        }
        for block in &self.blocks {
            values = block.forward(values);
        }
        values.means(&self.stem.device)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::relu;
    use burn::tensor::module::{conv2d, max_pool2d};
    use burn::tensor::ops::{ConvOptions, MaxPoolOptions};

    use super::*;
    use crate::Backend;
    use crate::chance::Chance;

    fn random<const D: usize>(chance: &mut Chance, shape: [usize; D], device: &Device) -> Tensor<D> {
        let values = (0..shape.iter().product()).map(|_| chance.normal()).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Beside images `[images, channels, high, wide]`; the zeros around must still be zeros.
    fn apart(ours: &Planes, theirs: Tensor<4>) -> f32 {
        let theirs = Planes::of(theirs.permute([0, 2, 3, 1]));
        let size = |planes: &Planes| [planes.images, planes.high, planes.wide, planes.channels];
        assert_eq!(size(ours), size(&theirs));
        ours.values.iter().zip(&theirs.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
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
                for (count, inputs) in [(1, 5), (3, 5), (3, 9)] {
                    let shape = Shape { inputs, outputs: 6, kernel, stride };
                    let images = random(&mut chance, [count, inputs, side, side + 1], &device);
                    let weight = random(&mut chance, shape.weights(), &device);
                    let bias = random(&mut chance, [6], &device);
                    let options = ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
                    let theirs = conv2d(images.clone(), weight.clone(), Some(bias.clone()), options);
                    let largest = theirs.clone().abs().max().into_scalar::<f32>();
                    let convolution = Convolution::of(shape, weight, bias);
                    let images = Planes::of(images.permute([0, 2, 3, 1]));
                    let ours = convolution.forward(images.clone(), Then::Nothing);
                    let apart_plain = apart(&ours, theirs.clone());
                    let cut = convolution.forward(images.clone(), Then::Cut);
                    let apart_cut = apart(&cut, relu(theirs.clone()));
                    let added = convolution.forward(images, Then::AddCut(&ours));
                    let apart_added = apart(&added, relu(theirs * 2.0));
                    let apart = [apart_plain, apart_cut, apart_added].into_iter().fold(0.0, f32::max);
                    assert!(
                        apart < 1e-5 * largest,
                        "{backend} {side} {kernel} {stride} {count} {inputs}: {apart}"
                    );
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
            assert!(apart(&Planes::of(images.permute([0, 2, 3, 1])).halved(), theirs) < 1e-6);
        }
    }
}
