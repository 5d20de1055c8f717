//! Weights of others, read from the bytes of a safetensors file: numbers with names and shapes, no code.

use burn::tensor::{Device, Tensor, TensorData, f16};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The bytes are no safetensors file, or only a part of one.
    #[error("the weights are no complete safetensors file")]
    Format(#[source] SafeTensorError),
    /// A tensor is missing.
    #[error("the weights have no tensor {0}")]
    Missing(String),
    /// A tensor has another shape or kind of number.
    #[error("tensor {0} of the weights has another shape or kind of number")]
    Shape(String),
    /// A tensor holds infinity, or what is no number.
    #[error("tensor {0} of the weights holds values that are no numbers")]
    NotFinite(String),
}

/// Named tensors in a file, and where they go.
pub(crate) struct Weights<'a> {
    file: SafeTensors<'a>,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    /// Reads the list of tensors; each is checked when it is asked for.
    pub(crate) fn read(bytes: &'a [u8], device: &'a Device) -> Result<Weights<'a>, WeightsError> {
        Ok(Weights { file: SafeTensors::deserialize(bytes).map_err(WeightsError::Format)?, device })
    }

    /// A vector of `length` values.
    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<Tensor<1>, WeightsError> {
        let values = self.values(name, &[length])?;
        Ok(Tensor::from_data(TensorData::new(values, [length]), self.device))
    }

    /// A matrix, `[rows, columns]`.
    pub(crate) fn matrix(&self, name: &str, [rows, columns]: [usize; 2]) -> Result<Tensor<2>, WeightsError> {
        let values = self.values(name, &[rows, columns])?;
        Ok(Tensor::from_data(TensorData::new(values, [rows, columns]), self.device))
    }

    /// The matrix of a dense layer, which PyTorch keeps as `[outputs, inputs]`, as `[inputs, outputs]`. Turned
    /// here once, so that no multiplication has to.
    pub(crate) fn dense(&self, name: &str, inputs: usize, outputs: usize) -> Result<Tensor<2>, WeightsError> {
        let values = self.values(name, &[outputs, inputs])?;
        let turned: Vec<f32> = (0..inputs)
            .flat_map(|i| (0..outputs).map(move |o| (i, o)))
            .map(|(i, o)| values[o * inputs + i])
            .collect();
        Ok(Tensor::from_data(TensorData::new(turned, [inputs, outputs]), self.device))
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let view = self.file.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        if view.shape() != shape {
            return Err(WeightsError::Shape(name.to_owned()));
        }
        let values = numbers(&view).ok_or_else(|| WeightsError::Shape(name.to_owned()))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite(name.to_owned()));
        }
        Ok(values)
    }
}

/// The file with the tensors that `wanted` picks in half precision: half as large, dearer by 5e-4 of each value.
pub(crate) fn halved(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(WeightsError::Format)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors().into_iter().filter(|(name, _)| wanted(name)) {
        let values = numbers(&view).ok_or_else(|| WeightsError::Shape(name.clone()))?;
        let halves: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        tensors.push((name, view.shape().to_vec(), halves));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, halves)| Ok((name, TensorView::new(Dtype::F16, shape.clone(), halves)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(WeightsError::Format)?;
    safetensors::serialize(views, None).map_err(WeightsError::Format)
}

/// The numbers of a tensor in single or half precision; `None` for other kinds.
fn numbers(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let (singles, _) = view.data().as_chunks::<4>();
    let (halves, _) = view.data().as_chunks::<2>();
    match view.dtype() {
        Dtype::F32 => Some(singles.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::F16 => Some(halves.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()),
        _ => None,
    }
}
