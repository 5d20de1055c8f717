//! A member while it learns: convolutions with batch normalisation, which is folded in when it has learned.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm_train, conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use crate::chance::Chance;
use crate::residual::Shape;
use crate::xray::network::{Folded, MemberValues, Numbering, VECTOR, plan};

/// Added to each variance (as PyTorch's BatchNorm2d).
const EPSILON: f64 = 1e-5;

#[derive(Module, Debug)]
struct Layer {
    /// `[outputs, inputs, kernel, kernel]`
    weight: Param<Tensor<4>>,
    /// Scale and shift after normalisation, `[outputs]`.
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    #[module(skip)]
    stride: usize,
}

/// How a kernel of this side is laid over an image so that stride 1 keeps its side.
fn options(kernel: usize, stride: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1)
}

/// Mean and variance of each channel.
type Moments = (Vec<f32>, Vec<f32>);

impl Layer {
    /// `[images, inputs, side, side]` to `[images, outputs, side / stride, side / stride]`, normalised over the batch.
    fn forward(&self, input: Tensor<4>, seen: Option<&mut Vec<Moments>>) -> Tensor<4> {
        let weight = self.weight.val();
        let options = options(weight.dims()[2], self.stride);
        let convolved = conv2d(input, weight, None, options);
        let normal = batch_norm_train(convolved, self.gamma.val(), self.beta.val(), EPSILON);
        if let Some(seen) = seen {
            seen.push((numbers(normal.mean), numbers(normal.variance)));
        }
        normal.output
    }

    /// The convolution that does the same to images with these moments.
    fn folded(&self, (mean, variance): &Moments) -> Folded {
        let (gamma, beta) = (numbers(self.gamma.val()), numbers(self.beta.val()));
        let scale: Vec<f32> = gamma
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| gamma / (variance + EPSILON as f32).sqrt())
            .collect();
        let weight = numbers(self.weight.val());
        let per_output = weight.len() / scale.len().max(1);
        let weight = weight.chunks(per_output.max(1)).zip(&scale);
        let bias = beta.iter().zip(mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
        let weight = weight.flat_map(|(values, scale)| values.iter().map(move |value| value * scale));
        (weight.collect(), bias.collect())
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("all tensors here are 32-bit floats")
}

/// A member while it learns.
#[derive(Module, Debug)]
pub(crate) struct Learner {
    /// In the order of the plan.
    layers: Vec<Layer>,
    /// `[VECTOR, 1]`
    weight: Param<Tensor<2>>,
    /// `[1]`
    bias: Param<Tensor<1>>,
}

impl Learner {
    /// A member that has learned nothing (He et al., "Delving deep into rectifiers", ICCV 2015). Its parameters are
    /// numbered, so that the state of an optimiser finds them again.
    pub(crate) fn new(chance: &mut Chance, device: &Device) -> Learner {
        let mut numbering = Numbering { next: 0, device };
        let layers = plan().shapes().into_iter().map(|shape: Shape| {
            let deviation = (2.0 / (shape.inputs * shape.kernel * shape.kernel) as f32).sqrt();
            let count = shape.weights().iter().product();
            let weight = (0..count).map(|_| chance.normal() * deviation).collect();
            Layer {
                weight: numbering.param(weight, shape.weights()).set_require_grad(true),
                gamma: numbering.param(vec![1.0; shape.outputs], [shape.outputs]).set_require_grad(true),
                beta: numbering.param(vec![0.0; shape.outputs], [shape.outputs]).set_require_grad(true),
                stride: shape.stride,
            }
        });
        let layers = layers.collect();
        let weight = (0..VECTOR).map(|_| chance.normal() / (VECTOR as f32).sqrt()).collect();
        Learner {
            layers,
            weight: numbering.param(weight, [VECTOR, 1]).set_require_grad(true),
            bias: numbering.param(vec![0.0], [1]).set_require_grad(true),
        }
    }

    /// Logits `[images, 1]` of images `[images, SIDE, SIDE, 1]`, normalised over the batch.
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.run(images, None)
    }

    fn run(&self, images: Tensor<4>, mut seen: Option<&mut Vec<Moments>>) -> Tensor<2> {
        let images = images.permute([0, 3, 1, 2]); // [images, 1, SIDE, SIDE]
        let mut layers = self.layers.iter();
        let mut next = |input: Tensor<4>| {
            let layer = layers.next().expect("there is a layer for each place of the plan");
            layer.forward(input, seen.as_deref_mut())
        };
        let mut values = relu(next(images)); // [images, WIDTH, 28, 28]
        for (_, _, short) in plan().blocks {
            let inside = relu(next(values.clone()));
            let inside = next(inside);
            let beside = if short.is_some() { next(values) } else { values };
            values = relu(inside + beside); // … [images, VECTOR, 4, 4]
        }
        let [images, channels, high, wide] = values.dims();
        let vectors = values.reshape([images, channels, high * wide]).mean_dim(2).reshape([images, channels]);
        vectors.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }

    /// What it has learned, with the moments that these images have all together (Izmailov et al., "Averaging
    /// weights leads to wider optima and better generalization", UAI 2018, section 3.2: moments after training).
    pub(crate) fn folded(&self, images: Tensor<4>) -> MemberValues {
        let plain = self.clone().valid();
        let mut seen = Vec::with_capacity(plain.layers.len());
        plain.run(images, Some(&mut seen));
        MemberValues {
            convolutions: plain
                .layers
                .iter()
                .zip(&seen)
                .map(|(layer, moments)| layer.folded(moments))
                .collect(),
            sum: (numbers(plain.weight.val()), numbers(plain.bias.val())),
        }
    }
}
