//! The network: an encoder of the BERT family (Devlin et al., NAACL 2019), whose tokens are averaged.
//!
//! ```text
//! tokens [batch, length] ─ words + places + kind ─ norm ─▶ [batch, length, hidden]
//!   × layers: + attention ─ norm ─ + (dense, GELU, dense) ─ norm
//! ─ mean over the tokens that are there ─▶ [batch, hidden]
//! ```

use burn::tensor::module::{embedding, layer_norm, linear};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::weights::{Weights, WeightsError};
use crate::kernels::{gelu, softmax};

/// Keeps the division in a norm defined (`layer_norm_eps`).
const EPSILON: f64 = 1e-12;

/// How large a network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) words: usize,
    pub(crate) places: usize,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    pub(crate) layers: usize,
}

/// all-MiniLM-L6-v2.
pub(crate) const MINILM: Size =
    Size { words: 30_522, places: 512, hidden: 384, inner: 1_536, heads: 12, layers: 6 };

struct Dense {
    /// `[inputs, outputs]`
    weight: Tensor<2>,
    /// `[outputs]`
    bias: Tensor<1>,
}

impl Dense {
    fn read(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Dense, WeightsError> {
        Ok(Dense {
            weight: weights.dense(&format!("{name}.weight"), inputs, outputs)?,
            bias: weights.vector(&format!("{name}.bias"), outputs)?,
        })
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        linear(input, self.weight.clone(), Some(self.bias.clone()))
    }
}

struct Norm {
    /// `[hidden]`
    scale: Tensor<1>,
    /// `[hidden]`
    shift: Tensor<1>,
}

impl Norm {
    fn read(weights: &Weights<'_>, name: &str, hidden: usize) -> Result<Norm, WeightsError> {
        Ok(Norm {
            scale: weights.vector(&format!("{name}.weight"), hidden)?,
            shift: weights.vector(&format!("{name}.bias"), hidden)?,
        })
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        layer_norm(input, self.scale.clone(), Some(self.shift.clone()), EPSILON)
    }
}

struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    attended: Dense,
    attended_norm: Norm,
    up: Dense,
    down: Dense,
    norm: Norm,
}

impl Layer {
    fn read(weights: &Weights<'_>, number: usize, size: Size) -> Result<Layer, WeightsError> {
        let Size { hidden, inner, .. } = size;
        let layer = format!("encoder.layer.{number}");
        let dense =
            |name: &str, inputs, outputs| Dense::read(weights, &format!("{layer}.{name}"), inputs, outputs);
        let norm = |name: &str| Norm::read(weights, &format!("{layer}.{name}"), hidden);
        Ok(Layer {
            query: dense("attention.self.query", hidden, hidden)?,
            key: dense("attention.self.key", hidden, hidden)?,
            value: dense("attention.self.value", hidden, hidden)?,
            attended: dense("attention.output.dense", hidden, hidden)?,
            attended_norm: norm("attention.output.LayerNorm")?,
            up: dense("intermediate.dense", hidden, inner)?,
            down: dense("output.dense", inner, hidden)?,
            norm: norm("output.LayerNorm")?,
        })
    }

    /// Input and output `[batch, length, hidden]`; of each text only so many tokens are some.
    fn forward(&self, input: Tensor<3>, tokens_of_text: &[usize], heads: usize) -> Tensor<3> {
        let [batch, length, hidden] = input.dims();
        let split = |dense: &Dense| {
            let each = dense.forward(input.clone()).reshape([batch, length, heads, hidden / heads]);
            each.swap_dims(1, 2) // [batch, heads, length, hidden / heads]
        };
        let (query, key, value) = (split(&self.query), split(&self.key), split(&self.value));
        let scale = 1.0 / ((hidden / heads) as f32).sqrt();
        let shares = softmax(query.matmul(key.swap_dims(2, 3)), scale, tokens_of_text);
        let seen = shares.matmul(value); // [batch, heads, length, hidden / heads]
        let seen = seen.swap_dims(1, 2).reshape([batch, length, hidden]);
        let middle = self.attended_norm.forward(self.attended.forward(seen) + input);
        let inner = gelu(self.up.forward(middle.clone())); // [batch, length, inner]
        self.norm.forward(self.down.forward(inner) + middle)
    }
}

/// The encoder with its weights.
pub(crate) struct Bert {
    size: Size,
    /// `[words, hidden]`
    words: Tensor<2>,
    /// `[places, hidden]`, the vector of the only kind of sentence added.
    places: Tensor<2>,
    norm: Norm,
    layers: Vec<Layer>,
    device: Device,
}

impl Bert {
    /// Takes the weights from the bytes of a safetensors file in the naming of `BertModel`.
    pub(crate) fn read(bytes: &[u8], size: Size, device: Device) -> Result<Bert, WeightsError> {
        let weights = Weights::read(bytes, &device)?;
        let places = weights.matrix("embeddings.position_embeddings.weight", [size.places, size.hidden])?;
        // Two kinds of sentences were trained on; a sentence by itself is always of the first.
        let kinds = weights.matrix("embeddings.token_type_embeddings.weight", [2, size.hidden])?;
        Ok(Bert {
            size,
            words: weights.matrix("embeddings.word_embeddings.weight", [size.words, size.hidden])?,
            places: places + kinds.slice([0..1, 0..size.hidden]),
            norm: Norm::read(&weights, "embeddings.LayerNorm", size.hidden)?,
            layers: (0..size.layers).map(|n| Layer::read(&weights, n, size)).collect::<Result<_, _>>()?,
            device,
        })
    }

    /// Whether a tensor of the file is looked at; the head that BERT was trained with is not.
    pub(crate) fn wants(name: &str) -> bool {
        !name.starts_with("pooler.") && name != "embeddings.position_ids"
    }

    /// The mean over the tokens of each text, `[batch × hidden]` in a row; `None` if the numbers cannot be had.
    /// Every text has at least one token and at most as many as there are places; every token is a known word.
    pub(crate) fn means(&self, texts: &[&[u32]]) -> Option<Vec<f32>> {
        let (batch, hidden) = (texts.len(), self.size.hidden);
        let length = texts.iter().map(|tokens| tokens.len()).max()?;
        let padded = |tokens: &&[u32]| {
            let word = |at| tokens.get(at).copied().unwrap_or(0);
            (0..length).map(|at| i64::from(word(at))).collect::<Vec<_>>()
        };
        let tokens: Vec<i64> = texts.iter().flat_map(padded).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [batch, length]), &self.device);
        let places = self.places.clone().slice([0..length, 0..hidden]).unsqueeze::<3>();
        let mut state = self.norm.forward(embedding(self.words.clone(), tokens) + places);
        let tokens_of_text: Vec<usize> = texts.iter().map(|tokens| tokens.len()).collect();
        for layer in &self.layers {
            state = layer.forward(state, &tokens_of_text, self.size.heads);
        }
        // The mean is a product with the share of each token: 0 where there is none.
        let share = |tokens: &&[u32]| {
            let (count, share) = (tokens.len(), 1.0 / tokens.len() as f32);
            (0..length).map(|at| if at < count { share } else { 0.0 }).collect::<Vec<f32>>()
        };
        let shares: Vec<f32> = texts.iter().flat_map(share).collect();
        let shares = Tensor::<3>::from_data(TensorData::new(shares, [batch, 1, length]), &self.device);
        shares.matmul(state).into_data().try_to_vec::<f32>().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use safetensors::{Dtype, tensor::TensorView};

    use super::super::weights::halved;
    use super::*;
    use crate::Backend;

    const SMALL: Size = Size { words: 11, places: 6, hidden: 8, inner: 12, heads: 2, layers: 2 };

    /// A small network, its weights made of a sine.
    fn file() -> Vec<u8> {
        let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut put = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
        let embeddings = [("word_embeddings", 11), ("position_embeddings", 6), ("token_type_embeddings", 2)];
        for (name, rows) in embeddings {
            put(format!("embeddings.{name}.weight"), &[rows, 8]);
        }
        let mut pair = |name: &str, outputs: usize, inputs: Option<usize>| {
            put(format!("{name}.bias"), &[outputs]);
            put(format!("{name}.weight"), &[Some(outputs), inputs].into_iter().flatten().collect::<Vec<_>>());
        };
        pair("embeddings.LayerNorm", 8, None);
        for layer in ["encoder.layer.0", "encoder.layer.1"] {
            for name in ["self.query", "self.key", "self.value", "output.dense"] {
                pair(&format!("{layer}.attention.{name}"), 8, Some(8));
            }
            pair(&format!("{layer}.attention.output.LayerNorm"), 8, None);
            pair(&format!("{layer}.intermediate.dense"), 12, Some(8));
            pair(&format!("{layer}.output.dense"), 8, Some(12));
            pair(&format!("{layer}.output.LayerNorm"), 8, None);
        }
        let bytes = |seed: usize, shape: &[usize]| -> Vec<u8> {
            let values = (0..shape.iter().product())
                .map(|at: usize| ((seed * 7_919 + at * at * 13 + at) as f32 * 0.61).sin());
            values.flat_map(f32::to_le_bytes).collect()
        };
        let data: Vec<_> = shapes
            .into_iter()
            .enumerate()
            .map(|(seed, (name, shape))| (name, bytes(seed, &shape), shape))
            .collect();
        let views = data
            .iter()
            .map(|(name, bytes, shape)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    fn means(file: &[u8], texts: &[&[u32]], backend: Backend) -> Vec<f32> {
        Bert::read(file, SMALL, backend.device()).unwrap().means(texts).unwrap()
    }

    #[test]
    fn padding_changes_nothing_and_backends_agree() {
        let file = file();
        let texts: [&[u32]; 3] = [&[1, 2, 3, 4, 5, 6], &[7], &[10, 0, 3]];
        let alone: Vec<f32> = texts.iter().flat_map(|text| means(&file, &[text], Backend::Flex)).collect();
        for backend in Backend::ALL {
            let together = means(&file, &texts, *backend);
            let apart = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(together.len() == 24 && apart < 1e-5, "{backend}: {apart}");
        }
        assert!(alone[..8].iter().zip(&alone[8..16]).any(|(a, b)| (a - b).abs() > 1e-3));
    }

    #[test]
    fn half_precision_is_near() {
        let whole = file();
        let half = halved(&whole, Bert::wants).unwrap();
        assert!(half.len() < whole.len());
        let texts: [&[u32]; 1] = [&[1, 2, 3]];
        let (a, b) = (means(&whole, &texts, Backend::Flex), means(&half, &texts, Backend::Flex));
        let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart > 0.0 && apart < 1e-2, "{apart}");
    }

    #[test]
    fn weights_of_another_network_are_refused() {
        let device = || Backend::Flex.device();
        let refused = |file: &[u8], size| Bert::read(file, size, device()).err().unwrap().to_string();
        let file = file();
        assert!(refused(&file, Size { words: 12, ..SMALL }).contains("word_embeddings"));
        assert!(refused(&file, Size { layers: 3, ..SMALL }).contains("encoder.layer.2"));
        assert!(refused(&file[..file.len() - 1], SMALL).contains("complete"));
        assert!(refused(b"", SMALL).contains("complete"));
        let mut sick = file.clone();
        let last = sick.len() - 4;
        sick[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(refused(&sick, SMALL).contains("no numbers"));
    }

    proptest! {
        #[test]
        fn damaged_weights_never_panic(at in 0_usize..4_000, value in any::<u8>(), cut in 0_usize..8_000) {
            let mut file = file();
            let at = at % file.len();
            file[at] = value;
            let _ = Bert::read(&file, SMALL, Backend::Flex.device());
            let _ = Bert::read(&file[..cut.min(file.len())], SMALL, Backend::Flex.device());
        }
    }
}
