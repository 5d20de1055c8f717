//! Weights with fewer bits. What is stored small is made 32 bits again when it is read: the backends here compute no faster
//! with fewer, so all that is saved is room, on the disk and on the way to other nodes.
//!
//! Half precision is burn's own record with numbers of 16 bits. With eight bits (as in "Q8_0" of ggml) 32 neighbours of a
//! matrix share one scale; vectors, which hold means and deviations and weigh little, stay at 16:
//!
//! ```text
//! "MCINT8" 0 1 │ each parameter in order: blocks of a scale (f16) and 32 × i8, the last one shorter; or f16 each
//! ```

use std::fmt;
use std::str::FromStr;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, FloatDType, Tensor, TensorData, f16};

/// The first bytes of weights with eight bits.
const MAGIC: [u8; 8] = *b"MCINT8\x00\x01";
/// Neighbours that share a scale.
const BLOCK: usize = 32;

/// How many bits a stored weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as is computed with.
    Single,
    /// 16 bits (IEEE 754 binary16).
    Half,
    /// 8 bits and a shared scale.
    Int8,
}

/// A word that names no precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weights are stored as single, half or int8")]
pub struct UnknownPrecision;

impl Precision {
    /// All, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::Single, Precision::Half, Precision::Int8];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Single => "single",
            Precision::Half => "half",
            Precision::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Precision, UnknownPrecision> {
        Precision::ALL.into_iter().find(|precision| precision.name() == text).ok_or(UnknownPrecision)
    }
}

/// The weights of a module. `None` when a value is no number that the precision has.
pub(crate) fn write<M: Module>(module: M, precision: Precision) -> Option<Vec<u8>> {
    match precision {
        Precision::Single => Some(module.into_record().into_bytes().ok()?.to_vec()),
        Precision::Half => Some(module.map(&mut Halves).into_record().into_bytes().ok()?.to_vec()),
        Precision::Int8 => {
            let mut pack = Pack { bytes: MAGIC.to_vec(), fits: true };
            module.visit(&mut pack);
            pack.fits.then_some(pack.bytes)
        }
    }
}

/// Reads weights of any precision into a module of the same shapes; `None` if they are not those of this module.
pub(crate) fn read<M: Module>(empty: M, bytes: &[u8]) -> Option<M> {
    if let Some(packed) = bytes.strip_prefix(&MAGIC) {
        let mut unpack = Unpack { rest: packed, fits: true };
        let filled = empty.map(&mut unpack);
        return (unpack.fits && unpack.rest.is_empty()).then_some(filled);
    }
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).ok()?;
    empty.try_load_record(record.cast_to_module_dtype()).ok()
}

/// Rounds everything to 16 bits.
struct Halves;

impl ModuleMapper for Halves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(FloatDType::F16))
    }
}

struct Pack {
    bytes: Vec<u8>,
    fits: bool,
}

impl Pack {
    fn half(&mut self, value: f32) -> f32 {
        let half = f16::from_f32(value);
        self.fits &= half.is_finite();
        self.bytes.extend_from_slice(&half.to_le_bytes());
        half.to_f32()
    }
}

impl ModuleVisitor for Pack {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values: Vec<f32> = param.val().into_data().try_to_vec().unwrap_or_default();
        if D == 1 {
            values.into_iter().for_each(|value| {
                self.half(value);
            });
            return;
        }
        for block in values.chunks(BLOCK) {
            let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            self.fits &= largest.is_finite() && block.iter().all(|value| value.is_finite());
            let scale = self.half(largest / 127.0);
            let step = |value: &f32| {
                if scale > 0.0 { (value / scale).round().clamp(-127.0, 127.0) as i8 } else { 0 }
            };
            self.bytes.extend(block.iter().map(step).flat_map(i8::to_le_bytes));
        }
    }
}

struct Unpack<'a> {
    rest: &'a [u8],
    fits: bool,
}

impl Unpack<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                taken
            }
            None => {
                self.fits = false;
                &[]
            }
        }
    }

    fn half(&mut self) -> f32 {
        let bytes = self.take(2).try_into().unwrap_or([0; 2]);
        let value = f16::from_le_bytes(bytes).to_f32();
        self.fits &= value.is_finite();
        value
    }
}

impl ModuleMapper for Unpack<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let shape = tensor.dims();
            let count: usize = shape.iter().product();
            let mut values = Vec::with_capacity(count);
            while values.len() < count && self.fits {
                if D == 1 {
                    values.push(self.half());
                    continue;
                }
                let scale = self.half();
                let length = BLOCK.min(count - values.len());
                values.extend(self.take(length).iter().map(|step| f32::from(step.cast_signed()) * scale));
            }
            if values.len() != count {
                return tensor;
            }
            let device = tensor.device();
            let grad = tensor.is_require_grad();
            Tensor::from_data(TensorData::new(values, shape), &device).set_require_grad(grad)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::Backend;
    use crate::chance::Chance;

    #[derive(Module, Debug)]
    struct Sum {
        weight: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }

    fn sum(fill: &mut dyn FnMut() -> f32, device: &Device) -> Sum {
        let mut values = |count: usize| (0..count).map(|_| fill()).collect::<Vec<f32>>();
        let weight = Tensor::from_data(TensorData::new(values(7 * 9), [7, 9]), device);
        let bias = Tensor::from_data(TensorData::new(values(9), [9]), device);
        Sum {
            weight: Param::initialized(ParamId::from(1), weight),
            bias: Param::initialized(ParamId::from(2), bias),
        }
    }

    fn all(sum: &Sum) -> Vec<f32> {
        let numbers = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        [numbers(sum.weight.val().into_data()), numbers(sum.bias.val().into_data())].concat()
    }

    fn empty() -> Sum {
        sum(&mut || 0.0, &Backend::default().device())
    }

    #[test]
    fn fewer_bits_are_nearly_the_same() {
        let mut chance = Chance::new(5, 0);
        let whole = sum(&mut || chance.normal(), &Backend::default().device());
        let mut sizes = Vec::new();
        for (precision, most) in Precision::ALL.into_iter().zip([0.0, 2e-3, 2e-2]) {
            let bytes = write(whole.clone(), precision).unwrap();
            let again = read(empty(), &bytes).unwrap();
            let apart = all(&whole).iter().zip(all(&again)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= most, "{precision}: {apart}");
            // Rounded once, nothing is lost by rounding again.
            assert_eq!(write(again, precision).unwrap(), bytes, "{precision}");
            sizes.push(bytes.len());
        }
        assert_eq!(sizes[2], 8 + 7 * 9 + 2 * 2 + 9 * 2);
    }

    #[test]
    fn what_is_no_number_is_not_written_and_not_read() {
        let device = Backend::default().device();
        assert_eq!(write(sum(&mut || f32::NAN, &device), Precision::Int8), None);
        assert_eq!(write(sum(&mut || 1e30, &device), Precision::Int8), None);
        let bytes = write(empty(), Precision::Int8).unwrap();
        assert!(read(empty(), &bytes).is_some());
        assert!(read(empty(), &bytes[..bytes.len() - 1]).is_none());
        assert!(read(empty(), &[bytes.clone(), vec![0]].concat()).is_none());
        let mut sick = bytes;
        sick[8..10].copy_from_slice(&f16::INFINITY.to_le_bytes());
        assert!(read(empty(), &sick).is_none());
    }

    proptest! {
        #[test]
        fn damaged_weights_never_panic(at in 0_usize..200, value in any::<u8>(), cut in 0_usize..200) {
            for precision in Precision::ALL {
                let mut bytes = write(empty(), precision).unwrap();
                let at = at % bytes.len();
                bytes[at] = value;
                let _ = read(empty(), &bytes);
                let _ = read(empty(), &bytes[..cut.min(bytes.len())]);
            }
        }
    }
}
