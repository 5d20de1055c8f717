//! `metaclinic diagnose …`: models that run on this device. A file needs no home; a record is read where it lies.

mod ecg;
mod glucose;
mod image;
mod opinion;
mod risk;
mod stream;
mod together;

use clap::Subcommand;

use super::Context;
use crate::service::problem::Problem;

#[derive(Subcommand)]
pub(super) enum DiagnoseCommand {
    /// Read an ECG: beats with their classes, rhythm, reasons, and a strip to check by eye
    ///
    /// Research software, not a medical device: it shows a clinician where to look and never replaces the look. With
    /// chest pain, fainting or breathlessness call the local emergency number.
    Ecg(ecg::EcgArgs),
    /// Read chest radiographs: how much each looks like pneumonia, and what spoke for it
    ///
    /// Research software, not a medical device: it looks at 28 by 28 pixels, and a clinician must look at the picture
    /// itself. With breathlessness, blue lips or confusion call the local emergency number.
    Image(image::ImageArgs),
    /// Read a risk: heart disease, readmission or a breast mass, with what spoke for and against it
    ///
    /// Research software, not a medical device: it shows a clinician how people with such values fared, and never
    /// replaces their judgement. No record is written unless a clinician confirms it. With chest pain, fainting or
    /// breathlessness call the local emergency number.
    Risk(risk::RiskArgs),
    /// Forecast glucose 30 and 60 minutes ahead from the readings of a continuous monitor, with intervals
    ///
    /// Research software, not a medical device, and no alarm: it never replaces a finger prick, the monitor's own alarms or
    /// your plan, and says nothing of doses. Somebody who is confused or does not wake up: call the local emergency number.
    Glucose(glucose::GlucoseArgs),
    /// Put ECG, picture, risk, glucose, self-check and vital signs of one patient together, each with its share and age
    ///
    /// Research software, not a medical device: an untrained combination that nobody has measured, and no probability of any
    /// disease. Off until a clinician enables it; only in a clinic's home. With chest pain, fainting or breathlessness call the
    /// local emergency number.
    Together(together::TogetherArgs),
}

pub(super) async fn run(context: &Context, command: DiagnoseCommand) -> Result<(), Problem> {
    match command {
        DiagnoseCommand::Ecg(args) => ecg::run(context, args).await,
        DiagnoseCommand::Image(args) => image::run(context, args).await,
        DiagnoseCommand::Risk(args) => risk::run(context, args).await,
        DiagnoseCommand::Glucose(args) => glucose::run(context, args).await,
        DiagnoseCommand::Together(args) => together::run(context, args).await,
    }
}

/// TYPE/ID of a record, unless a file of that name is `here`.
pub(super) fn reference(target: &str, here: bool) -> Option<(&str, &str)> {
    let (resource_type, id) = target.split_once('/')?;
    (!here && ::records::is_resource_type(resource_type) && !id.contains('/')).then_some((resource_type, id))
}
