//! The network: a small perceptron a member, each of which never saw a fifth of the persons.
//!
//! ```text
//! window ─ row [19] ─▶ dense 32, GELU ─ dense 32, GELU ─ dense ─▶ change and two widths at each of two times
//!                                                       × members, averaged
//! ```
//!
//! It tells the change from the last value: told nothing, it says that nothing changes.

use burn::module::Module;
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor, TensorData};

use super::HORIZONS_MIN;
use super::series::{STEP_S, STEPS, Window};
use crate::dense::{Dense, Fill, Numbering};
use crate::precision::{self, Precision};

/// What the network sees of a window: see [`row`].
pub(crate) const INPUTS: usize = STEPS + 7;
const HIDDEN: usize = 32;
const TIMES: usize = HORIZONS_MIN.len();
/// Change, width below, width above; each at every time.
const OUTPUTS: usize = 3 * TIMES;
/// Outputs are in this, in mg/dL.
pub(crate) const SCALE_MG_DL: f32 = 30.0;
/// Windows that are judged at once.
const BATCH: usize = 4_096;
/// The columns of [`row`] that tell the course and not the level.
const COURSE: [std::ops::Range<usize>; 2] = [1..STEPS + 1, STEPS + 3..STEPS + 7];

/// What the network sees, scaled to about 1.
pub(crate) type Row = [f32; INPUTS];

/// The last value; the values on a grid of five minutes over the hour before, less the last; how far readings lie apart;
/// how much of three hours there is; mean, deviation, least and most of that.
pub(crate) fn row(window: &Window<'_>) -> Row {
    let last = window.last();
    let mut row = [0.0; INPUTS];
    row[0] = (last.mg_per_dl - 130.0) / 60.0;
    for (value, step) in row[1..].iter_mut().zip(1..=STEPS) {
        *value = (window.at(last.at_s.saturating_sub(step as i64 * STEP_S)) - last.mg_per_dl) / SCALE_MG_DL;
    }
    let readings = window.readings();
    let hour: Vec<i64> = readings
        .iter()
        .map(|it| it.at_s)
        .filter(|at| *at >= last.at_s.saturating_sub(STEPS as i64 * STEP_S))
        .collect();
    let spacing_min = (last.at_s - hour[0]) as f32 / 60.0 / (hour.len().max(2) - 1) as f32;
    row[STEPS + 1] = (spacing_min.clamp(1.0, 20.0) - 5.0) / 10.0;
    row[STEPS + 2] = (last.at_s - readings[0].at_s) as f32 / (3.0 * 3600.0);
    let count = readings.len() as f32;
    let values = || readings.iter().map(|reading| reading.mg_per_dl);
    let mean = values().sum::<f32>() / count;
    let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
    let least = values().fold(f32::INFINITY, f32::min);
    let most = values().fold(f32::NEG_INFINITY, f32::max);
    row[STEPS + 3] = (mean - last.mg_per_dl) / 60.0;
    row[STEPS + 4] = deviation / 40.0;
    row[STEPS + 5] = (least - last.mg_per_dl) / 60.0;
    row[STEPS + 6] = (most - last.mg_per_dl) / 60.0;
    row
}

/// The same level after hours without any change.
pub(crate) fn without_course(mut row: Row) -> Row {
    COURSE.into_iter().for_each(|columns| row[columns].fill(0.0));
    row
}

/// One member.
#[derive(Module, Debug)]
pub(crate) struct Member {
    first: Dense,
    second: Dense,
    output: Dense,
}

/// What a member says, in [`SCALE_MG_DL`], each `[windows, times]`.
pub(crate) struct Said {
    /// The change that as often falls short as it is exceeded.
    pub(crate) change: Tensor<2>,
    /// From there down to what one in ten lies below; not negative.
    pub(crate) below: Tensor<2>,
    /// From there up to what one in ten lies above; not negative.
    pub(crate) above: Tensor<2>,
}

impl Member {
    /// Input `[windows, inputs]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Said {
        let hidden = gelu(self.first.forward(input)); // [windows, hidden]
        let hidden = gelu(self.second.forward(hidden)); // [windows, hidden]
        let output = self.output.forward(hidden); // [windows, outputs]
        let part = |at: usize| output.clone().narrow(1, at * TIMES, TIMES);
        Said { change: part(0), below: softplus(part(1)), above: softplus(part(2)) }
    }
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().clamp_min(0.0) + (x.abs().neg().exp() + 1.0).log()
}

/// All members.
#[derive(Module, Debug)]
pub(crate) struct Network {
    members: Vec<Member>,
}

impl Member {
    /// A member whose weights come from `fill`.
    pub(crate) fn new(numbering: &mut Numbering, fill: Fill<'_>, device: &Device) -> Member {
        Member {
            first: numbering.dense([INPUTS, HIDDEN], fill, device),
            second: numbering.dense([HIDDEN, HIDDEN], fill, device),
            output: numbering.dense([HIDDEN, OUTPUTS], fill, device),
        }
    }
}

/// Low end, middle and high end of what a member says, as changes in mg/dL.
pub(crate) type Changes = [[f32; 3]; TIMES];

impl Network {
    /// Joins trained members.
    #[cfg(feature = "train")]
    pub(crate) fn of(members: Vec<Member>) -> Network {
        Network { members }
    }

    /// Its members.
    #[cfg(feature = "train")]
    pub(crate) fn into_members(self) -> Vec<Member> {
        self.members
    }

    /// Reads weights; `None` if they are not those of this network.
    pub(crate) fn read(bytes: &[u8], members: usize, device: &Device) -> Option<Network> {
        let mut numbering = Numbering(0);
        let mut zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
        let members = (0..members).map(|_| Member::new(&mut numbering, &mut zeros, device)).collect();
        precision::read(Network { members }, bytes)
    }

    /// The weights.
    pub(crate) fn write(self, precision: Precision) -> Option<Vec<u8>> {
        precision::write(self, precision)
    }

    /// The number of learned values.
    pub(crate) fn parameters(&self) -> usize {
        self.num_params()
    }

    /// What one member says of each row; nothing when there is no such member.
    pub(crate) fn changes(&self, rows: &[Row], member: usize, device: &Device) -> Vec<Changes> {
        let Some(member) = self.members.get(member) else { return Vec::new() };
        rows.chunks(BATCH).flat_map(|chunk| changes(member, chunk, device)).collect()
    }
}

/// Rows as a tensor. `[windows, inputs]`
pub(crate) fn gather(rows: &[Row], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), INPUTS]), device)
}

pub(crate) fn changes(member: &Member, rows: &[Row], device: &Device) -> Vec<Changes> {
    let said = member.forward(gather(rows, device));
    let numbers = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap_or_default();
    let [change, below, above] = [said.change, said.below, said.above].map(numbers);
    let at = |window: usize, time: usize| {
        let index = window * TIMES + time;
        [change[index] - below[index], change[index], change[index] + above[index]]
            .map(|value| value * SCALE_MG_DL)
    };
    (0..rows.len()).map(|window| std::array::from_fn(|time| at(window, time))).collect()
}
