//! A chest radiograph from a file or a record: its grey values go to the model, what the model says comes back in words,
//! and as a picture of what spoke for it.

mod labelled;

use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use inference::xray::{GrayImage, Origin, Overlay, Refusal, XRAY_MODEL, XrayModel};
use inference::{Backend, Model};
use keys::AuditAction;
use records::image::{self, ImageRead};
use serde_json::Value;

use super::model_info::model_info;
use super::models::ModelCache;
use super::models::work::{ModelWork, Wanted};
use super::problem::{Problem, Tried};
use super::records::{no_such_resource, parse_source};
use super::{Node, audit, blocking};
use crate::api::types::{ImageAnswer, ImageExplanation, ImageFinding, ImagePlace, ImageReport, ImageRequest};
use crate::clock;

pub(crate) use labelled::LabelledXrays;

/// SNOMED CT: pneumonia (disorder).
const PNEUMONIA: &str = "233604007";
/// The longer side of the picture of what spoke for it, in pixels.
const OVERLAY_SIDE: usize = 896;
/// Places that are told of.
const PLACES: usize = 3;
/// What the next step is where a picture cannot be read.
const FORMATS: &str = "pictures are read as PNG, JPEG or DICOM";

impl Node {
    /// Reads a stored picture with the model; audited as a reading of the record.
    ///
    /// # Errors
    /// [`Problem`] when there is no such record, or no picture in it. A picture that is refused is no error.
    pub(crate) async fn diagnose_image(
        self: &Arc<Self>,
        request: ImageRequest,
    ) -> Result<ImageAnswer, Problem> {
        let backend = super::ecg::parse_backend(request.backend.as_deref())?;
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let id = self.find(&request.resource_type, &request.id, source)?;
        let node = Arc::clone(self);
        let stored = blocking(move || node.stored(&id)).await?.ok_or_else(no_such_resource)?;
        let resource: Value = serde_json::from_str(stored.resource.text()).tried("read the record")?;
        let bytes = inline_picture(&resource).ok_or_else(|| {
            Problem::not_found("this resource holds no picture")
                .next("pictures are read out of Binary, Media and DocumentReference, as inline data")
        })?;
        let mut event = audit::event(clock::now(), AuditAction::Read, 1);
        event.1.object = Some(*id.as_bytes());
        self.note(vec![event])?;
        ModelWork::shared().run(move |wanted| diagnose(&bytes, backend, request.explain, wanted)).await
    }
}

/// The first inline PNG, JPEG or DICOM of a resource.
fn inline_picture(resource: &Value) -> Option<Vec<u8>> {
    let attachments: Vec<&Value> = match resource["resourceType"].as_str()? {
        "Binary" => vec![resource],
        "Media" => vec![&resource["content"]],
        "DocumentReference" => {
            resource["content"].as_array()?.iter().map(|content| &content["attachment"]).collect()
        }
        _ => return None,
    };
    let picture = |attachment: &&Value| {
        let kind = attachment["contentType"].as_str().unwrap_or_default();
        ["image/png", "image/jpeg", "application/dicom"].contains(&kind)
    };
    let data = attachments.into_iter().find(picture)?["data"].as_str()?;
    BASE64.decode(data.as_bytes()).ok()
}

/// Reads a file.
///
/// # Errors
/// [`Problem`] when there is none, or it is larger than is read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error).next(FORMATS))?
        .len();
    if size > image::MAX_FILE_BYTES as u64 {
        return Err(Problem::failed(format!("{shown} is larger than is read")).next(FORMATS));
    }
    std::fs::read(path).map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error))
}

/// Reads a picture with the model. A picture that is refused is no error; a file that is no picture is.
///
/// # Errors
/// [`Problem`] when the file is malformed.
pub(crate) fn diagnose(
    bytes: &[u8],
    backend: Backend,
    explain: bool,
    wanted: &Wanted,
) -> Result<ImageAnswer, Problem> {
    let read = image::read(bytes)
        .map_err(|error| Problem::failed("cannot read the picture").because(error).next(FORMATS))?;
    let model = model(backend)?;
    let mut report = report(&read, backend)?;
    let judged = admit(read).and_then(|image| Ok((model.read(&image)?, image)));
    let (finding, image) = match judged {
        Ok(judged) => judged,
        Err(refusal) => {
            report.refused = Some(refusal.to_string());
            return Ok(ImageAnswer { report, overlay: None });
        }
    };
    report.findings.push(ImageFinding {
        code: PNEUMONIA.to_owned(),
        label: "Pneumonia".to_owned(),
        probability: finding.probability,
    });
    report.novelty = Some(finding.novelty);
    let mut overlay = None;
    if explain
        && wanted.still()
        && let Ok(saliency) = model.explain(&image)
    {
        let Overlay { width, height, rgba } = saliency.over(&image, OVERLAY_SIDE);
        overlay = Some(
            crate::picture::rgba_png(width as u32, height as u32, &rgba).tried("draw what spoke for it")?,
        );
        report.explanation = Some(explanation(saliency.values()));
    }
    Ok(ImageAnswer { report, overlay: overlay.map(|png| BASE64.encode(&png)) })
}

/// The model of a backend, loaded once in a process.
fn model(backend: Backend) -> Result<Arc<XrayModel>, Problem> {
    static MODELS: ModelCache<XrayModel> = ModelCache::new();
    MODELS.get(backend, |backend| XrayModel::of(&Model::named(XRAY_MODEL)?, backend))
}

/// The grey values, unless the file says that it is something else.
fn admit(read: ImageRead) -> Result<GrayImage, Refusal> {
    let origin = Origin {
        colour: read.colour,
        modality: read.modality.as_deref(),
        body_part: read.body_part.as_deref(),
        view: read.view.as_deref(),
    };
    origin.check()?;
    GrayImage::new(read.width, read.height, read.luminance).map_err(|_| Refusal::Unfamiliar)
}

fn report(read: &ImageRead, backend: Backend) -> Result<ImageReport, Problem> {
    let card = Model::named(XRAY_MODEL).tried("read the card of the model")?.card;
    Ok(ImageReport {
        refused: None,
        format: read.format.to_string(),
        width: read.width,
        height: read.height,
        frames: read.frames,
        findings: Vec::new(),
        novelty: None,
        explanation: None,
        model: model_info(&card, backend),
        advice: card.about.safety,
    })
}

/// The places that spoke most for pneumonia.
fn explanation(values: &[f32]) -> ImageExplanation {
    let side = inference::xray::SIDE;
    let mut order: Vec<usize> = (0..values.len()).filter(|at| values[*at] > 0.0).collect();
    order.sort_by(|left, right| values[*right].total_cmp(&values[*left]));
    let mut places: Vec<(usize, usize)> = Vec::new();
    for at in order {
        let (row, column) = (at / side, at % side);
        // One place for each neighbourhood.
        let apart = |(other_row, other_column): &(usize, usize)| {
            row.abs_diff(*other_row) > side / 5 || column.abs_diff(*other_column) > side / 5
        };
        if places.iter().all(apart) {
            places.push((row, column));
        }
        if places.len() == PLACES {
            break;
        }
    }
    let share = |index: usize| (index as f32 + 0.5) / side as f32;
    let place = |&(row, column): &(usize, usize)| ImagePlace {
        across: share(column),
        down: share(row),
        logit: values[row * side + column],
    };
    ImageExplanation {
        method: "covering: how far the model's logit falls when a part of the middle square is covered"
            .to_owned(),
        places: places.iter().map(place).collect(),
    }
}
