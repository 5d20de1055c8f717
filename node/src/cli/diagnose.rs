//! `metaclinic diagnose …`: models that run on this device. A file needs no home; a record is read where it lies.

mod ecg;
mod image;
mod stream;

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
}

pub(super) async fn run(context: &Context, command: DiagnoseCommand) -> Result<(), Problem> {
    match command {
        DiagnoseCommand::Ecg(args) => ecg::run(context, args).await,
        DiagnoseCommand::Image(args) => image::run(context, args).await,
    }
}

/// TYPE/ID of a record, unless a file of that name is `here`.
fn reference(target: &str, here: bool) -> Option<(&str, &str)> {
    let (resource_type, id) = target.split_once('/')?;
    (!here && ::records::is_resource_type(resource_type) && !id.contains('/')).then_some((resource_type, id))
}
