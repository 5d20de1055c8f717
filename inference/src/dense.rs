//! Dense layers of small networks, and parameters that are numbered, so that the same training gives the same bytes.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

/// A dense layer.
#[derive(Module, Debug)]
pub(crate) struct Dense {
    /// `[inputs, outputs]`
    weight: Param<Tensor<2>>,
    /// `[outputs]`
    bias: Param<Tensor<1>>,
}

impl Dense {
    /// Input `[rows, inputs]`, output `[rows, outputs]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }

    /// Weight and bias `[1, outputs]`.
    #[cfg(feature = "bench")]
    pub(crate) fn tensors(&self) -> [Tensor<2>; 2] {
        [self.weight.val(), self.bias.val().unsqueeze()]
    }

    /// How many outputs it has.
    #[cfg(feature = "train")]
    pub(crate) fn outputs(&self) -> usize {
        self.bias.dims()[0]
    }
}

/// Where initial values come from: shape in, values out.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&[usize]) -> Vec<f32>;

/// Numbers parameters.
pub(crate) struct Numbering(pub(crate) u64);

impl Numbering {
    /// A parameter of these values, as many as the shape holds. It learns only if it is told to.
    pub(crate) fn param<const D: usize>(
        &mut self,
        values: Vec<f32>,
        shape: [usize; D],
        device: &Device,
    ) -> Param<Tensor<D>> {
        self.0 += 1;
        Param::initialized(ParamId::from(self.0), Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// A layer that learns; its weights come from `fill`.
    pub(crate) fn dense(&mut self, shape: [usize; 2], fill: Fill<'_>, device: &Device) -> Dense {
        Dense {
            weight: self.param(fill(&shape), shape, device).set_require_grad(true),
            bias: self.param(vec![0.0; shape[1]], [shape[1]], device).set_require_grad(true),
        }
    }
}
