//! The network: for each question about a beat a small head, and of the whole as many members as there are
//! patients to learn from, each of which never saw one of them.
//!
//! ```text
//! features [beats, columns] ─ normalise ─ clamp ─▶ head: (dense, GELU)? dense ─▶ logit [beats]
//!                                                  × 3 questions × members, averaged over members
//! ```
//!
//! The members that never saw a patient give that patient's out-of-sample figures with the very weights that
//! are shipped; a new patient is judged by all of them.

use burn::module::{Module, Param};
use burn::tensor::activation;
use burn::tensor::{Device, Tensor, TensorData};

use super::features::names;
use crate::dense::{Dense, Fill, Numbering};
use crate::kernels::gelu;
use crate::precision::{self, Precision};

/// Normalised features are cut off here, in standard deviations, so that a stray value cannot decide alone.
pub(crate) const CLAMP: f32 = 5.0;

/// How many questions there are.
pub(crate) const QUESTIONS: usize = Question::ALL.len();

/// What is asked of a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Is it no beat at all, but an artefact that looks like one?
    Artefact,
    /// Is it ventricular?
    Ventricular,
    /// Is it supraventricular, given that it is not ventricular?
    Supraventricular,
}

impl Question {
    pub(crate) const ALL: [Question; 3] =
        [Question::Artefact, Question::Ventricular, Question::Supraventricular];

    /// Units of the hidden layer. A supraventricular beat is told by one weighted sum: with few patients that
    /// have any, more units learn the patients.
    pub(crate) fn hidden(self) -> Option<usize> {
        match self {
            Question::Supraventricular => None,
            Question::Artefact | Question::Ventricular => Some(16),
        }
    }

    /// What it is called where people see it.
    #[cfg(feature = "train")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Question::Artefact => "artefact",
            Question::Ventricular => "ventricular",
            Question::Supraventricular => "supraventricular",
        }
    }

    /// The columns that it looks at.
    pub(crate) fn columns(self) -> Vec<usize> {
        let wanted = |name: &str| match self {
            Question::Supraventricular => name.ends_with("_in_regular_rhythm") || name.contains("_p_"),
            Question::Artefact | Question::Ventricular => true,
        };
        names().iter().enumerate().filter(|(_, name)| wanted(name)).map(|(index, _)| index).collect()
    }
}

/// The answer to one question.
#[derive(Module, Debug)]
pub(crate) struct Head {
    /// Mean and deviation of each column in training.
    mean: Param<Tensor<1>>,
    deviation: Param<Tensor<1>>,
    hidden: Option<Dense>,
    output: Dense,
}

impl Head {
    /// Normalised columns. Input and output `[beats, columns]`.
    pub(crate) fn normalise(&self, columns: Tensor<2>) -> Tensor<2> {
        let centred = columns - self.mean.val().unsqueeze();
        (centred / self.deviation.val().unsqueeze()).clamp(-CLAMP, CLAMP)
    }

    /// Logits `[beats, 1]` of normalised columns; `kept` is what dropout leaves of the hidden units while it learns.
    pub(crate) fn logits(&self, normalised: Tensor<2>, kept: Option<Tensor<2>>) -> Tensor<2> {
        let Some(hidden) = &self.hidden else { return self.output.forward(normalised) };
        let hidden = hidden.forward(normalised); // [beats, hidden]
        self.output.forward(match kept {
            Some(kept) => activation::gelu(hidden) * kept,
            None => gelu(hidden),
        })
    }
}

#[cfg(feature = "train")]
impl Head {
    /// Units of the hidden layer, if there is one.
    pub(crate) fn hidden_units(&self) -> Option<usize> {
        self.hidden.as_ref().map(Dense::outputs)
    }
}

/// One head for each question, trained without one patient.
#[derive(Module, Debug)]
pub(crate) struct Member {
    heads: Vec<Head>,
}

/// All members.
#[derive(Module, Debug)]
pub(crate) struct Network {
    members: Vec<Member>,
}

impl Head {
    /// A head with its normalisation; the weights come from `fill`.
    pub(crate) fn new(
        numbering: &mut Numbering,
        question: Question,
        (mean, deviation): (Vec<f32>, Vec<f32>),
        fill: Fill<'_>,
        device: &Device,
    ) -> Head {
        let columns = mean.len();
        let hidden = question.hidden().map(|units| numbering.dense([columns, units], fill, device));
        let last = question.hidden().unwrap_or(columns);
        Head {
            mean: numbering.param(mean, [columns], device).set_require_grad(false),
            deviation: numbering.param(deviation, [columns], device).set_require_grad(false),
            hidden,
            output: numbering.dense([last, 1], fill, device),
        }
    }
}

impl Network {
    /// The heads of its members.
    #[cfg(feature = "train")]
    pub(crate) fn into_heads(self) -> impl Iterator<Item = Vec<Head>> {
        self.members.into_iter().map(|member| member.heads)
    }

    /// Joins trained members.
    #[cfg(feature = "train")]
    pub(crate) fn of(members: Vec<Vec<Head>>) -> Network {
        Network { members: members.into_iter().map(|heads| Member { heads }).collect() }
    }

    /// Reads weights; `None` if they are not those of this network.
    pub(crate) fn read(bytes: &[u8], members: usize, device: &Device) -> Option<Network> {
        let mut numbering = Numbering(0);
        let mut zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
        let mut head = |question: Question| {
            let columns = question.columns().len();
            Head::new(&mut numbering, question, (vec![0.0; columns], vec![1.0; columns]), &mut zeros, device)
        };
        let members = (0..members)
            .map(|_| Member { heads: Question::ALL.map(&mut head).into_iter().collect() })
            .collect();
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

    /// For each question and beat the mean logit over the members that `wanted` names.
    pub(crate) fn logits(
        &self,
        rows: &[Vec<f32>],
        wanted: &[usize],
        device: &Device,
    ) -> [Vec<f32>; QUESTIONS] {
        Question::ALL.map(|question| {
            let mut sum = vec![0.0; rows.len()];
            for chunk in (0..rows.len()).collect::<Vec<_>>().chunks(BATCH) {
                let input = gather(&rows[chunk[0]..chunk[0] + chunk.len()], question, device);
                for member in wanted.iter().filter_map(|index| self.members.get(*index)) {
                    let head = &member.heads[question as usize];
                    let logits = head.logits(head.normalise(input.clone()), None); // [beats, 1]
                    let values = logits.into_data().try_to_vec::<f32>().unwrap_or_default();
                    for (beat, value) in chunk.iter().zip(values) {
                        sum[*beat] += value / wanted.len() as f32;
                    }
                }
            }
            sum
        })
    }
}

#[cfg(feature = "bench")]
impl Network {
    /// What it is made of: `MEMBER.QUESTION.mean`, and so on, and the columns of each question.
    pub(crate) fn tensors(&self) -> Vec<crate::peers::Named> {
        use crate::peers::Named;

        let mut named = Vec::new();
        for (question, asked) in Question::ALL.into_iter().enumerate() {
            let columns = asked.columns();
            let values = columns.iter().map(|column| *column as f32).collect();
            named.push(Named { name: format!("{question}.columns"), shape: vec![columns.len()], values });
            for (member, Member { heads }) in self.members.iter().enumerate() {
                let head = &heads[question];
                let mut put = |what: &str, tensor: Tensor<2>| {
                    named.push(Named::of(format!("{member}.{question}.{what}"), tensor));
                };
                put("mean", head.mean.val().unsqueeze());
                put("deviation", head.deviation.val().unsqueeze());
                let layers = [("hidden", head.hidden.as_ref()), ("output", Some(&head.output))];
                for (layer, dense) in layers.into_iter().filter_map(|(layer, dense)| Some((layer, dense?))) {
                    let [weight, bias] = dense.tensors();
                    put(&format!("{layer}.weight"), weight);
                    put(&format!("{layer}.bias"), bias);
                }
            }
        }
        named
    }
}

impl Network {
    /// For each beat how far it lies from those that were learned from: the squared deviation in standard deviations,
    /// mean over all columns and over the members that `wanted` names (Mahalanobis distance with a diagonal
    /// covariance, which is what the members keep of their patients).
    pub(crate) fn distances(&self, rows: &[Vec<f32>], wanted: &[usize]) -> Vec<f32> {
        let numbers =
            |param: &Param<Tensor<1>>| param.val().into_data().try_to_vec::<f32>().unwrap_or_default();
        let columns = Question::Artefact.columns();
        let usual: Vec<(Vec<f32>, Vec<f32>)> = wanted
            .iter()
            .filter_map(|index| self.members.get(*index))
            .map(|member| &member.heads[Question::Artefact as usize])
            .map(|head| (numbers(&head.mean), numbers(&head.deviation)))
            .collect();
        let distance = |row: &Vec<f32>| {
            let square = |(mean, deviation): &(Vec<f32>, Vec<f32>)| -> f32 {
                let each = columns.iter().zip(mean.iter().zip(deviation));
                each.map(|(column, (mean, deviation))| {
                    ((row[*column] - mean) / deviation).clamp(-CLAMP, CLAMP).powi(2)
                })
                .sum()
            };
            usual.iter().map(square).sum::<f32>() / (usual.len().max(1) * columns.len().max(1)) as f32
        };
        rows.iter().map(distance).collect()
    }
}

/// Beats that are judged at once.
const BATCH: usize = 4_096;

/// The columns of a question. `[beats, columns]`
pub(crate) fn gather(rows: &[Vec<f32>], question: Question, device: &Device) -> Tensor<2> {
    let columns = question.columns();
    let values: Vec<f32> = rows.iter().flat_map(|row| columns.iter().map(|column| row[*column])).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), columns.len()]), device)
}

/// 1 / (1 + e^-x)
pub(crate) fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
