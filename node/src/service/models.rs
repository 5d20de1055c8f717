//! Models and the data sets that they are measured on and learned from: what differs between models is told apart here and
//! nowhere else.

#[cfg(feature = "train")]
pub(crate) mod unfinished;

pub(crate) mod answers;
mod compare;
mod drift;
pub(crate) mod fetched;
mod in_use;
mod install;
mod offers;
mod package;
mod shadow;
mod state;
pub(crate) mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use inference::ecg::{ECG_MODEL, EcgModel, Evaluation, LabelledRecording};
use inference::glucose::{self, GLUCOSE_MODEL, GlucoseModel, LabelledPerson};
use inference::risk::{self, RISK_MODELS, RiskModel};
#[cfg(feature = "train")]
use inference::training::{Trained, Training};
use inference::xray::{self, XRAY_MODEL, XrayModel};
use inference::{Backend, Measured, Model, ModelError, Precision};

use super::ecg;
use super::problem::{Problem, Tried};
use super::risk::LabelledPeople;
use super::xray::LabelledXrays;

pub(crate) use answers::Answered;
pub(crate) use drift::Ended;
pub(crate) use in_use::{Chosen, InUse, Reader};
pub(crate) use shadow::Run;
pub(crate) use state::{Models, Opened};

/// Hears how many steps of how many are done.
pub(crate) type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A labelled data set of the kind that a model is for.
pub(crate) enum DataSet {
    /// Recordings with marked beats.
    Ecg(Vec<LabelledRecording>),
    /// Chest radiographs with what readers found.
    Xray(LabelledXrays),
    /// People with what is known of them and what became of them.
    Risk(LabelledPeople),
    /// Persons with readings of a glucose monitor.
    Glucose(Vec<LabelledPerson>),
}

/// What was measured, and what was refused instead of being judged.
pub(crate) struct Judged {
    pub(crate) measured: Measured,
    /// Name of the case, and why.
    pub(crate) refused: Vec<(String, String)>,
}

impl DataSet {
    /// Reads the data set that the model of this name is for.
    ///
    /// # Errors
    /// [`Problem`] when the folder holds none, or a part of it cannot be read.
    pub(crate) fn read(model: &str, folder: &Path, progress: Progress<'_>) -> Result<DataSet, Problem> {
        match model {
            ECG_MODEL => {
                Ok(DataSet::Ecg(ecg::labelled_recordings(folder, &mut |done, of| progress(done, of))?))
            }
            XRAY_MODEL => Ok(DataSet::Xray(LabelledXrays::read(folder, progress)?)),
            name if RISK_MODELS.contains(&name) => {
                Ok(DataSet::Risk(LabelledPeople::read(name, folder, progress)?))
            }
            GLUCOSE_MODEL => Ok(DataSet::Glucose(super::glucose::labelled_persons(folder, progress)?)),
            _ => Err(Problem::wrong_use(format!("{model} is measured on no data set of its own"))),
        }
    }

    /// Measures a model; patients that it learned from are judged by weights that never saw them.
    ///
    /// # Errors
    /// [`Problem`] when the weights cannot be used.
    pub(crate) fn measure(
        &self,
        model: &Model,
        backend: Backend,
        progress: Progress<'_>,
    ) -> Result<Judged, Problem> {
        match self {
            DataSet::Ecg(recordings) => {
                let model = EcgModel::load(model, backend).tried("read the model")?;
                let mut evaluation = Evaluation::default();
                // EC57 leaves recordings of paced hearts out of the figures.
                let judged: Vec<_> = recordings.iter().filter(|recording| !recording.is_paced()).collect();
                for (index, recording) in judged.iter().enumerate() {
                    evaluation.add(&model, recording);
                    progress(index + 1, judged.len());
                }
                let refused = evaluation.refused().iter();
                let refused = refused.map(|(name, reason)| (name.clone(), reason.to_string()));
                Ok(Judged { measured: evaluation.measured(), refused: refused.collect() })
            }
            DataSet::Xray(images) => {
                let model = XrayModel::of(model, backend).tried("read the model")?;
                // The images it learned from say nothing about it.
                let parts: Vec<_> = ["validation", "test"]
                    .into_iter()
                    .map(|part| (part, images.part(part)))
                    .filter(|(_, images)| !images.is_empty())
                    .collect();
                Ok(Judged { measured: xray::measure(&model, &parts, progress), refused: Vec::new() })
            }
            DataSet::Risk(labelled) => {
                let model = RiskModel::of(model, backend).tried("read the model")?;
                let measured = risk::measure(&model, &labelled.people, progress);
                Ok(Judged { measured, refused: labelled.refused.clone() })
            }
            DataSet::Glucose(persons) => {
                let model = GlucoseModel::load(model, backend).tried("read the model")?;
                let mut evaluation = glucose::Evaluation::default();
                for (index, person) in persons.iter().enumerate() {
                    evaluation.add(&model, person);
                    progress(index + 1, persons.len());
                }
                let refused = evaluation.refused().iter();
                let told =
                    |count: &usize| format!("{count} forecasts: flat, or a change that blood cannot make");
                let refused = refused.map(|(person, count)| (person.clone(), told(count)));
                Ok(Judged { measured: evaluation.measured(), refused: refused.collect() })
            }
        }
    }

    /// How far cases lie out that the weights never saw, and the limit that follows.
    ///
    /// # Errors
    /// [`Problem`] for a model that chooses its limits while it learns.
    #[cfg(feature = "train")]
    pub(crate) fn novelty(
        &self,
        model: &Model,
        progress: Progress<'_>,
    ) -> Result<inference::ecg::Novelty, Problem> {
        let DataSet::Ecg(recordings) = self else {
            return Err(Problem::wrong_use("only the ECG model takes a limit after learning"));
        };
        let model = EcgModel::load(model, Backend::default()).tried("read the model")?;
        inference::ecg::Novelty::of(&model, recordings, progress)
            .ok_or_else(|| Problem::failed("there is no unpaced recording to choose a limit on"))
    }

    /// Learns weights anew.
    ///
    /// # Errors
    /// [`Problem`] when there is too little to learn from.
    #[cfg(feature = "train")]
    pub(crate) fn train(&self, training: &Training<'_>) -> Result<Trained, Problem> {
        match self {
            DataSet::Ecg(recordings) => {
                inference::ecg::train(recordings, training).tried("learn from these recordings")
            }
            DataSet::Xray(images) => train_xray(images, training),
            DataSet::Risk(labelled) => {
                risk::train(&labelled.fields, &labelled.people, training).tried("learn from these people")
            }
            DataSet::Glucose(persons) => glucose::train(persons, training).tried("learn from these persons"),
        }
    }
}

/// The one checkpoint of a training of pictures.
#[cfg(feature = "train")]
const CHECKPOINT: &str = "checkpoint";

#[cfg(feature = "train")]
fn train_xray(images: &LabelledXrays, training: &Training<'_>) -> Result<Trained, Problem> {
    let checkpoint = (training.load)(CHECKPOINT);
    let mut epoch = |_: &xray::XrayEpoch, bytes: &[u8]| {
        (training.save)(CHECKPOINT, bytes);
        std::ops::ControlFlow::Continue(())
    };
    let watch = xray::XrayWatch { step: training.progress, epoch: &mut epoch };
    let parts = [images.part("training"), images.part("validation")];
    let learned = xray::train(parts[0], parts[1], training.seed, checkpoint.as_deref(), watch)
        .tried("learn from these images")?;
    let decision = toml::Table::try_from(learned.decision).tried("write what was chosen")?;
    let losses = |of: fn(&xray::XrayEpoch) -> f64| learned.curve.iter().map(of).collect();
    let curve = inference::training::LearningCurve {
        name: "pneumonia".to_owned(),
        learned: losses(|epoch| epoch.train_loss),
        held: losses(|epoch| epoch.validation_loss),
    };
    Ok(Trained { weights: learned.weights, decision, curves: vec![curve] })
}

/// Networks kept in memory: each model in use and the one beside it, with some to spare.
const MAX_LOADED: usize = 4;

/// One network, by what it was loaded from.
type Loaded<M> = (Backend, [u8; 32], Arc<M>);

/// Networks that are loaded once for each model and backend that is asked for, the latest kept.
pub(crate) struct ModelCache<M>(Mutex<Vec<Loaded<M>>>);

impl<M> ModelCache<M> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The network of a model, loaded now if nobody asked before.
    ///
    /// # Errors
    /// [`Problem`] when it cannot be read.
    pub(crate) fn get(
        &self,
        chosen: &Chosen,
        backend: Backend,
        load: impl FnOnce(&Model, Backend) -> Result<M, ModelError>,
    ) -> Result<Reader<M>, Problem> {
        let digest = chosen.digest();
        let mut loaded = super::lock(&self.0);
        let known = loaded.iter().find(|(other, name, _)| *other == backend && *name == digest);
        let network = match known {
            Some((_, _, network)) => Arc::clone(network),
            None => {
                let network = Arc::new(load(&chosen.model, backend).tried("read the model")?);
                if loaded.len() >= MAX_LOADED {
                    loaded.remove(0);
                }
                loaded.push((backend, digest, Arc::clone(&network)));
                network
            }
        };
        Ok(Reader { network, chosen: chosen.clone(), backend })
    }

    /// What a new model says beside the one in use, and how long it took. Nothing that it does may keep the answer back:
    /// `None` when it does not load, or breaks.
    pub(crate) fn beside<F>(
        &self,
        shadow: &Chosen,
        backend: Backend,
        load: impl FnOnce(&Model, Backend) -> Result<M, ModelError>,
        read: impl FnOnce(&M) -> F,
    ) -> Option<(F, Duration)> {
        let said = AssertUnwindSafe(|| {
            let reader = self.get(shadow, backend, load).ok()?;
            let started = Instant::now();
            Some((read(&reader.network), started.elapsed()))
        });
        catch_unwind(said).ok().flatten()
    }
}

/// A model with its weights stored with so many bits; what it was measured with stays as it was.
///
/// # Errors
/// [`Problem`] when the weights cannot be used, or hold numbers that fewer bits cannot.
pub(crate) fn stored_with(model: &Model, precision: Precision) -> Result<Model, Problem> {
    let weights = match model.card.about.name.as_str() {
        ECG_MODEL => EcgModel::load(model, Backend::default()).tried("read the model")?.weights(precision),
        XRAY_MODEL => XrayModel::of(model, Backend::default()).tried("read the model")?.weights(precision),
        GLUCOSE_MODEL => {
            GlucoseModel::load(model, Backend::default()).tried("read the model")?.weights(precision)
        }
        name if RISK_MODELS.contains(&name) => {
            RiskModel::of(model, Backend::default()).tried("read the model")?.weights(precision)
        }
        name => return Err(Problem::wrong_use(format!("{name} has no weights to store"))),
    };
    let weights = weights.ok_or_else(|| Problem::failed("the weights do not fit into fewer bits"))?;
    let mut model = model.clone();
    model.card.figures.weights_sha256 = inference::sha256(&weights);
    model.card.figures.weights_bytes = weights.len();
    model.weights = weights.into();
    Ok(model)
}

/// The number of learned values of a model.
///
/// # Errors
/// [`Problem`] when the weights cannot be used.
#[cfg(feature = "train")]
pub(crate) fn parameters(model: &Model) -> Result<usize, Problem> {
    match model.card.about.name.as_str() {
        ECG_MODEL => Ok(EcgModel::load(model, Backend::default()).tried("read the model")?.parameters()),
        XRAY_MODEL => Ok(XrayModel::of(model, Backend::default()).tried("read the model")?.parameters()),
        name if RISK_MODELS.contains(&name) => {
            Ok(RiskModel::of(model, Backend::default()).tried("read the model")?.parameters())
        }
        GLUCOSE_MODEL => {
            Ok(GlucoseModel::load(model, Backend::default()).tried("read the model")?.parameters())
        }
        name => Err(Problem::wrong_use(format!("{name} has no learned values"))),
    }
}
