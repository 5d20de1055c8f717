//! The old model and the new one on the same labelled data.

use std::path::Path;
use std::sync::Arc;

use inference::ecg::{EcgModel, Evaluation};
use inference::measure::Table;
use inference::xray::{self, XrayModel};
use inference::{Backend, Measured, Model};

use super::offers::full_name;
use super::{DataSet, Progress};
use crate::api::types::{CompareRequest, ComparisonReport, DataComparison};
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, blocking, read};

/// Figures of both, and what the new one does differently.
pub(crate) struct Compared {
    pub(crate) measured: [Measured; 2],
    pub(crate) differences: Vec<Table>,
}

impl DataSet {
    /// Measures two models on the same cases.
    ///
    /// # Errors
    /// [`Problem`] when weights cannot be used.
    pub(crate) fn compare(
        &self,
        models: [&Model; 2],
        backend: Backend,
        progress: Progress<'_>,
    ) -> Result<Compared, Problem> {
        match self {
            DataSet::Ecg(recordings) => {
                let load = |model| EcgModel::load(model, backend).tried("read the model");
                let loaded = [load(models[0])?, load(models[1])?];
                let mut evaluations = [Evaluation::default(), Evaluation::default()];
                let judged: Vec<_> = recordings.iter().filter(|recording| !recording.is_paced()).collect();
                for (index, recording) in judged.iter().enumerate() {
                    for (evaluation, model) in evaluations.iter_mut().zip(&loaded) {
                        evaluation.add(model, recording);
                    }
                    progress(index + 1, judged.len());
                }
                let [old, new] = &evaluations;
                Ok(Compared { measured: [old.measured(), new.measured()], differences: old.differences(new) })
            }
            DataSet::Xray(images) => {
                let load = |model| XrayModel::of(model, backend).tried("read the model");
                let loaded = [load(models[0])?, load(models[1])?];
                let parts: Vec<_> = ["validation", "test"]
                    .into_iter()
                    .map(|part| (part, images.part(part)))
                    .filter(|(_, images)| !images.is_empty())
                    .collect();
                let (measured, differences) = xray::compare([&loaded[0], &loaded[1]], &parts, progress);
                Ok(Compared { measured, differences })
            }
            // Their figures stand side by side; the draws that would say how sure a difference is are not made.
            DataSet::Risk(_) | DataSet::Glucose(_) => {
                let [old, new] = models.map(|model| self.measure(model, backend, progress));
                Ok(Compared { measured: [old?.measured, new?.measured], differences: Vec::new() })
            }
        }
    }
}

impl Node {
    /// How the new model does beside the one in use: in the runs so far, and on labelled data if a folder is named.
    ///
    /// # Errors
    /// [`Problem`] when there is no new model, or the data cannot be read.
    pub(crate) async fn compare_models(
        self: &Arc<Self>,
        request: CompareRequest,
    ) -> Result<ComparisonReport, Problem> {
        let name = full_name(&request.name)?;
        let state = read(&self.models).state(&name);
        let new = state.shadow.as_ref().or(state.candidate.as_ref()).ok_or_else(|| {
            Problem::not_found("there is no new model to compare with")
                .next(format!("fetch one with: metaclinic models fetch {name} --from PEER"))
        })?;
        let active = self.in_use(&name).await?.active;
        let candidate = self.open_model(new).await?;
        let report = ComparisonReport {
            model: name.clone(),
            in_use: active.model.card.about.version.clone(),
            version: new.model_version.clone(),
            shadow: state.shadow.is_some().then(|| state.counts.report(&name)),
            data: None,
        };
        let Some(folder) = request.data else { return Ok(report) };
        let compared = blocking(move || {
            let data = DataSet::read(&name, Path::new(&folder), &|_, _| {})?;
            data.compare([&active.model, &candidate.model], Backend::default(), &|_, _| {})
        })
        .await?;
        let value = |measured: &Measured| serde_json::to_value(measured).tried("write the figures");
        let data = DataComparison {
            in_use: value(&compared.measured[0])?,
            new: value(&compared.measured[1])?,
            differences: serde_json::to_value(&compared.differences).tried("write the differences")?,
        };
        Ok(ComparisonReport { data: Some(data), ..report })
    }
}
