//! Steps that backends work out one number at a time, here over slices as wide as the processor is: without derivatives, for
//! networks that have learned. On the way they took a quarter to two thirds of the time of the ECG's network and of MiniLM.

use burn::tensor::Tensor;
use pulp::Arch;

/// x · Φ(x), the error function within 5e-7 of the exact one. The same shape as before.
pub(crate) fn gelu<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    changed(tensor, |values| {
        for value in values {
            // Below -6 there are but 6e-9 left, which would be as many times too much of a huge number.
            let x = if *value < -6.0 { -6.0 } else { *value };
            *value = x * 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    })
}

/// The softmax over the last dimension of scores `[batch, heads, queries, keys]` times `scale`; of each text only so many keys
/// count, at least one, and the others become 0.
pub(crate) fn softmax(scores: Tensor<4>, scale: f32, keys_of_text: &[usize]) -> Tensor<4> {
    let [batch, heads, queries, keys] = scores.dims();
    debug_assert!(keys_of_text.len() == batch && keys_of_text.iter().all(|count| (1..=keys).contains(count)));
    changed(scores, |values| {
        for (text, count) in values.chunks_exact_mut(heads * queries * keys).zip(keys_of_text) {
            for row in text.chunks_exact_mut(keys) {
                let (seen, unseen) = row.split_at_mut(*count);
                softmax_of(seen, scale);
                unseen.fill(0.0);
            }
        }
    })
}

/// Changes the values in place, with the widest instructions that the processor has.
fn changed<const D: usize>(tensor: Tensor<D>, change: impl Fn(&mut [f32])) -> Tensor<D> {
    let device = tensor.device();
    let mut data = tensor.into_data();
    let values = data.as_mut_slice::<f32>().expect("all tensors here are 32-bit floats");
    Arch::new().dispatch(|| change(values));
    Tensor::from_data(data, &device)
}

/// As many sums or maxima at once.
const LANES: usize = 16;

#[inline(always)]
fn softmax_of(row: &mut [f32], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (largest, value) in largest.iter_mut().zip(chunk) {
            *largest = if *value > *largest { *value } else { *largest };
        }
    }
    let largest = largest.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0_f32; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for chunk in whole {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *value = exp((*value - largest) * scale);
            *sum += *value;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for value in rest {
        *value = exp((*value - largest) * scale);
        sum += *value;
    }
    let share = 1.0 / sum;
    row.iter_mut().for_each(|value| *value *= share);
}

/// The error function: the quotient of two polynomials on ±4, beyond which it is ±1 (minimax coefficients as in Eigen's
/// `erf` for single precision).
#[inline(always)]
fn erf(x: f32) -> f32 {
    const OVER: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const UNDER: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    // Not `clamp`, which keeps what is no number: written so, it is one instruction each way.
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let square = x * x;
    let polynomial = |of: &[f32]| of.iter().fold(0.0_f32, |sum, coefficient| sum * square + coefficient);
    x * polynomial(&OVER) / polynomial(&UNDER)
}

/// eˣ of x ≤ 0, within 2e-7 of its value; below -87 that of -87 (the polynomial of Cephes' `expf`).
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a number it leaves its whole part in the lowest bits.
    const WHOLE: f32 = 12_582_912.0; // 1.5 × 2²³
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // their sum is ln 2
    const OF_REST: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = if x < -87.0 { -87.0 } else { x };
    let marked = x * std::f32::consts::LOG2_E + WHOLE;
    let whole = marked - WHOLE;
    let rest = x - whole * LN_2[0] - whole * LN_2[1];
    let polynomial = OF_REST.iter().fold(0.0_f32, |sum, coefficient| sum * rest + coefficient);
    let of_rest = polynomial * rest * rest + rest + 1.0;
    let exponent = marked.to_bits().wrapping_sub(WHOLE.to_bits()).wrapping_add(127) << 23;
    of_rest * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use burn::tensor::activation;

    use super::*;
    use crate::Backend;

    fn apart<const D: usize>(ours: Tensor<D>, theirs: Tensor<D>) -> f32 {
        (ours - theirs).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn gelu_is_the_one_of_burn_on_every_backend() {
        for backend in Backend::ALL {
            let device = backend.device();
            let values: Vec<f32> = (-12_000..12_000).map(|at| at as f32 / 1e3).collect();
            let count = values.len();
            let values = Tensor::<1>::from_data(TensorData::new(values, [count]), &device);
            let apart = apart(gelu(values.clone()), activation::gelu(values));
            assert!(apart < 2e-6, "{backend}: {apart}");
        }
        let device = Backend::default().device();
        let told = gelu(Tensor::<1>::from_data([-1e30_f32, 1e30, f32::NAN], &device));
        let told = told.into_data().try_to_vec::<f32>().unwrap();
        assert!(told[0].abs() < 1e-6 && told[1] > 0.999_999e30 && told[2].is_nan());
    }

    #[test]
    fn softmax_is_the_one_of_burn_and_leaves_out_what_is_no_token() {
        let device = Backend::default().device();
        for keys in [1, 15, 16, 33] {
            let values: Vec<f32> =
                (0..2 * 3 * 2 * keys).map(|at| ((at * at) as f32 * 0.7).sin() * 40.0).collect();
            let scores = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 2, keys]), &device);
            let theirs = activation::softmax(scores.clone() * 0.3, 3);
            let ours = softmax(scores.clone(), 0.3, &[keys, keys]);
            assert!(apart(ours, theirs) < 1e-6, "{keys}");
            let count = keys.div_ceil(2);
            let ours = softmax(scores.clone(), 0.3, &[keys, count]).slice([1..2, 0..3, 0..2, 0..keys]);
            let theirs = activation::softmax(scores.slice([1..2, 0..3, 0..2, 0..count]) * 0.3, 3);
            let seen = ours.clone().slice([0..1, 0..3, 0..2, 0..count]);
            assert!(apart(seen, theirs) < 1e-6, "{keys}");
            assert!((ours.sum().into_scalar::<f32>() - 6.0).abs() < 1e-5);
        }
    }
}
