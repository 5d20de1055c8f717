//! Networks beside which other runtimes are measured: what they are made of, and one pass of them. For `benches` only.

use burn::tensor::{Device, Tensor, TensorData};

use crate::chance::Chance;
use crate::ecg::{ECG_MODEL, EcgModel, feature_names};
use crate::residual::{Convolution, Plan, Residual};
use crate::text::{Bert, MINILM};
use crate::{Backend, Model, ModelError};

/// Values with a name and a shape.
pub struct Named {
    /// Its name in the network.
    pub name: String,
    /// How it is laid out, the last dimension in a row.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub values: Vec<f32>,
}

impl Named {
    pub(crate) fn of<const D: usize>(name: impl Into<String>, tensor: Tensor<D>) -> Named {
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().try_to_vec().expect("all tensors here are 32-bit floats");
        Named { name: name.into(), shape, values }
    }
}

/// A network with its input.
pub struct Network {
    /// What other runtimes need to build the same.
    pub weights: Vec<Named>,
    /// What it is given: numbers, or of a text the words.
    pub input: Named,
    run: Box<dyn Fn() -> Vec<f32>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Network({} tensors, input {:?})", self.weights.len(), self.input.shape)
    }
}

impl Network {
    /// One pass over the input, in this process, on the backend it was made for.
    pub fn run(&self) -> Vec<f32> {
        (self.run)()
    }
}

/// Images that are judged at once: as many as stay near the processor.
const CHUNK: usize = 4;

/// ResNet-18 with 64 channels and chance for weights, of square images with three colours: small ones as they are, large ones
/// (from 112 pixels on) with the first convolution of ImageNet, which is 7 pixels wide, and halved after it.
/// Input `[batch, 3, side, side]`, output `[batch, 2]`.
pub fn resnet18(side: usize, batch: usize, backend: Backend) -> Network {
    let device = backend.device();
    let large = side >= 112;
    let mut plan = Plan::of(3, 64);
    if large {
        plan.stem.kernel = 7;
        plan.stem.stride = 2;
    }
    let mut chance = Chance::new(1, 0);
    let mut weights = Vec::new();
    let mut convolutions = Vec::new();
    for (number, shape) in plan.shapes().into_iter().enumerate() {
        let deviation = (2.0 / (shape.inputs * shape.kernel * shape.kernel) as f32).sqrt();
        let weight = random(&mut chance, shape.weights(), deviation, &device);
        let bias = random(&mut chance, [shape.outputs], 0.1, &device);
        weights.push(Named::of(format!("conv{number}.weight"), weight.clone()));
        weights.push(Named::of(format!("conv{number}.bias"), bias.clone()));
        convolutions.push(Convolution::of(shape, weight, bias));
    }
    let sum: Tensor<2> = random(&mut chance, [512, 2], 0.05, &device);
    weights.push(Named::of("sum.weight", sum.clone()));
    let mut convolutions = convolutions.into_iter();
    let residual =
        Residual::of(&plan, large, |_| convolutions.next()).expect("one for each place of the plan");
    let input: Tensor<4> = random(&mut chance, [batch, 3, side, side], 1.0, &device);
    let images = input.clone().permute([0, 2, 3, 1]);
    let run = move || {
        let chunk = |images: Tensor<4>| residual.vectors(images).matmul(sum.clone());
        let chunks = images.clone().split(CHUNK, 0).into_iter().map(chunk).collect();
        Named::of("", Tensor::cat(chunks, 0)).values
    };
    Network { weights, input: Named::of("input", input), run: Box::new(run) }
}

/// The network of the ECG model over the features of so many beats; features of chance. Input `[beats, features]`, output
/// `[3 × beats]`: the mean logits of all members, question after question.
///
/// # Errors
/// [`ModelError`] when the compiled-in model cannot be read.
pub fn ecg(beats: usize, backend: Backend) -> Result<Network, ModelError> {
    let device = backend.device();
    let (network, members) = EcgModel::load(&Model::named(ECG_MODEL)?, backend)?.into_network();
    let columns = feature_names().len();
    let input: Tensor<2> = random(&mut Chance::new(2, 0), [beats, columns], 1.0, &device);
    let input = Named::of("input", input);
    let rows: Vec<Vec<f32>> = input.values.chunks(columns).map(<[f32]>::to_vec).collect();
    let weights = network.tensors();
    let run = move || network.logits(&rows, &members, &device).concat();
    Ok(Network { weights, input, run: Box::new(run) })
}

/// MiniLM from the bytes of its safetensors file, of so many texts with so many words of chance. Input `[batch, words]`,
/// output `[batch, 384]`: the mean over the words. `None` when the file is another.
pub fn minilm(file: &[u8], words: usize, batch: usize, backend: Backend) -> Option<Network> {
    let bert = Bert::read(file, MINILM, backend.device()).ok()?;
    let mut chance = Chance::new(3, 0);
    let texts: Vec<Vec<u32>> =
        (0..batch).map(|_| (0..words).map(|_| 1_000 + chance.below(20_000) as u32).collect()).collect();
    let values = texts.iter().flatten().map(|word| *word as f32).collect();
    let run = move || {
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        bert.means(&texts).unwrap_or_default()
    };
    let input = Named { name: "input".to_owned(), shape: vec![batch, words], values };
    Some(Network { weights: Vec::new(), input, run: Box::new(run) })
}

fn random<const D: usize>(
    chance: &mut Chance,
    shape: [usize; D],
    deviation: f32,
    device: &Device,
) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| chance.normal() * deviation).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}
