//! The members as burn keeps them: in each part the centre and scale of every column over the people that the part was
//! learned from, and for each draw of those people a weighted sum.
//!
//! ```text
//! columns [people, columns] ─ (x − centre) / scale ─▶ × weight [columns, draws] + bias [draws] ─▶ sums [people, draws]
//! ```

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

use super::design::Row;
use crate::precision::{self, Precision};

/// The most parts and draws that weights are read for.
pub(crate) const MAX_PARTS: usize = 64;
pub(crate) const MAX_DRAWS: usize = 64;
/// Numbers of parameters of a part.
const NUMBERS_A_PART: u64 = 4;

#[derive(Module, Debug)]
struct PartWeights {
    /// `[columns]`
    centre: Param<Tensor<1>>,
    /// `[columns]`
    scale: Param<Tensor<1>>,
    /// `[columns, draws]`
    weight: Param<Tensor<2>>,
    /// `[draws]`
    bias: Param<Tensor<1>>,
}

/// All parts.
#[derive(Module, Debug)]
pub(crate) struct Network {
    parts: Vec<PartWeights>,
}

/// A part as plain numbers: so small a sum is told apart field by field, which needs every term of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartValues {
    pub(crate) centre: Vec<f64>,
    pub(crate) scale: Vec<f64>,
    /// Of each draw one after the other.
    pub(crate) weights: Vec<Vec<f64>>,
    pub(crate) bias: Vec<f64>,
}

impl PartValues {
    /// The terms of the sum of a draw, without its bias; what is not known adds nothing.
    pub(crate) fn terms<'a>(&'a self, draw: usize, row: &'a Row) -> impl Iterator<Item = f64> + 'a {
        let moments = self.centre.iter().zip(&self.scale);
        row.iter().zip(moments).zip(&self.weights[draw]).map(|((value, (centre, scale)), weight)| {
            value.map_or(0.0, |value| weight * (value - centre) / scale)
        })
    }

    /// The sum of a draw.
    pub(crate) fn sum(&self, draw: usize, row: &Row) -> f64 {
        self.bias[draw] + self.terms(draw, row).sum::<f64>()
    }

    fn possible(&self) -> bool {
        let all = [&self.centre, &self.scale, &self.bias];
        all.into_iter().chain(&self.weights).flatten().all(|value| value.is_finite())
            && self.scale.iter().all(|scale| *scale > 0.0)
    }
}

impl Network {
    /// Of what was learned.
    pub(crate) fn of(parts: &[PartValues], device: &Device) -> Network {
        let parts =
            parts.iter().zip(0..).map(|(values, number)| part(values, number * NUMBERS_A_PART, device));
        Network { parts: parts.collect() }
    }

    /// Reads weights; `None` if they are not those of so many parts, columns and draws.
    pub(crate) fn read(
        bytes: &[u8],
        parts: usize,
        columns: usize,
        draws: usize,
        device: &Device,
    ) -> Option<Vec<PartValues>> {
        if !(1..=MAX_PARTS).contains(&parts) || !(1..=MAX_DRAWS).contains(&draws) {
            return None;
        }
        let empty = PartValues {
            centre: vec![0.0; columns],
            scale: vec![1.0; columns],
            weights: vec![vec![0.0; columns]; draws],
            bias: vec![0.0; draws],
        };
        let network = Network::of(&vec![empty; parts], device);
        let network = precision::read(network, bytes)?;
        let values: Vec<PartValues> = network.parts.iter().map(plain).collect::<Option<_>>()?;
        let fits = |part: &PartValues| {
            part.centre.len() == columns
                && part.scale.len() == columns
                && part.bias.len() == draws
                && part.weights.len() == draws
                && part.weights.iter().all(|weights| weights.len() == columns)
                && part.possible()
        };
        values.iter().all(fits).then_some(values)
    }

    /// The weights.
    pub(crate) fn write(self, precision: Precision) -> Option<Vec<u8>> {
        precision::write(self, precision)
    }
}

fn part(values: &PartValues, first: u64, device: &Device) -> PartWeights {
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|value| *value as f32).collect() };
    let row = |number: u64, values: &[f64]| {
        let tensor = Tensor::from_data(TensorData::new(single(values), [values.len()]), device);
        Param::initialized(ParamId::from(first + number), tensor)
    };
    let (columns, draws) = (values.centre.len(), values.bias.len());
    let by_column =
        (0..columns).flat_map(|column| values.weights.iter().map(move |draw| draw[column] as f32));
    let weight = TensorData::new(by_column.collect::<Vec<f32>>(), [columns, draws]);
    PartWeights {
        centre: row(1, &values.centre),
        scale: row(2, &values.scale),
        weight: Param::initialized(ParamId::from(first + 3), Tensor::from_data(weight, device)),
        bias: row(4, &values.bias),
    }
}

fn plain(part: &PartWeights) -> Option<PartValues> {
    let numbers = |tensor: Tensor<1>| -> Option<Vec<f64>> {
        let values = tensor.into_data().try_to_vec::<f32>().ok()?;
        Some(values.into_iter().map(f64::from).collect())
    };
    let [columns, draws] = part.weight.val().dims();
    let weight = part.weight.val().into_data().try_to_vec::<f32>().ok()?;
    let of_draw = |draw: usize| (0..columns).map(|column| f64::from(weight[column * draws + draw])).collect();
    Some(PartValues {
        centre: numbers(part.centre.val())?,
        scale: numbers(part.scale.val())?,
        weights: (0..draws).map(of_draw).collect(),
        bias: numbers(part.bias.val())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    fn what_is_not_known_adds_nothing() {
        let part = PartValues {
            centre: vec![1.0, 2.0],
            scale: vec![2.0, 1.0],
            weights: vec![vec![3.0, 5.0]],
            bias: vec![0.5],
        };
        assert_eq!(part.sum(0, &vec![Some(3.0), None]), 0.5 + 3.0);
        assert_eq!(part.sum(0, &vec![None, None]), 0.5);
    }

    #[test]
    fn other_bytes_and_other_shapes_are_no_weights() {
        let device = Backend::default().device();
        assert!(Network::read(b"no weights", 1, 2, 1, &device).is_none());
        assert!(Network::read(&[], 1, 2, 1, &device).is_none());
        assert!(Network::read(&[], 0, 2, 1, &device).is_none());
        assert!(Network::read(&[], 1, 2, MAX_DRAWS + 1, &device).is_none());
    }

    #[cfg(feature = "train")]
    #[test]
    fn weights_come_back_as_they_were_and_cut_or_impossible_ones_do_not() {
        let device = Backend::default().device();
        let part = |first: f64| PartValues {
            centre: vec![first, 2.0],
            scale: vec![2.0, 1.0],
            weights: vec![vec![3.0, 5.0], vec![-1.0, 0.25]],
            bias: vec![0.5, -0.5],
        };
        let parts = [part(1.0), part(-4.0)];
        let bytes = Network::of(&parts, &device).write(Precision::Single).unwrap();
        assert_eq!(Network::read(&bytes, 2, 2, 2, &device).unwrap(), parts);
        for (parts, columns, draws) in [(3, 2, 2), (2, 3, 2), (2, 2, 3)] {
            assert!(Network::read(&bytes, parts, columns, draws, &device).is_none());
        }
        for end in (0..bytes.len()).step_by(7) {
            assert!(Network::read(&bytes[..end], 2, 2, 2, &device).is_none(), "cut at {end}");
        }
        for wrong in [f64::NAN, f64::INFINITY] {
            let bytes = Network::of(&[part(wrong)], &device).write(Precision::Single).unwrap();
            assert!(Network::read(&bytes, 1, 2, 2, &device).is_none());
        }
        let mut flat = part(1.0);
        flat.scale[0] = 0.0;
        let bytes = Network::of(&[flat], &device).write(Precision::Single).unwrap();
        assert!(Network::read(&bytes, 1, 2, 2, &device).is_none());
    }
}
