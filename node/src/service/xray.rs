//! A chest radiograph from a file or a record: its grey values go to the model, what the model says comes back in words,
//! and as a picture of what spoke for it.

mod labelled;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use inference::Backend;
use inference::xray::{GrayImage, Origin, Overlay, Refusal, XRAY_MODEL, XrayFinding, XrayModel};
use keys::{AuditAction, RecordId};
use records::image::{self, ImageRead};
use serde_json::Value;

use super::models::work::{ModelWork, Wanted};
use super::models::{Answered, Chosen, Ended, InUse, ModelCache, Reader, Run};
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
        let in_use = self.in_use(XRAY_MODEL).await?;
        let node = Arc::clone(self);
        let read = move |wanted: &Wanted| node.answer_image(id, &bytes, backend, &in_use, &request, wanted);
        ModelWork::shared().run(read).await
    }

    /// Reads with the model in use, and with the one beside it; the answer is that of the one in use.
    fn answer_image(
        &self,
        record: RecordId,
        bytes: &[u8],
        backend: Backend,
        in_use: &InUse,
        request: &ImageRequest,
        wanted: &Wanted,
    ) -> Result<ImageAnswer, Problem> {
        let reader = MODELS.get(&in_use.active, backend, XrayModel::of)?;
        let Read { mut answer, image, finding, took } = read(bytes, &reader, request.explain, wanted)?;
        let output = serde_json::to_vec(&answer.report).tried("write the result")?;
        let ended = Ended {
            refused: finding.as_ref().err().map(|refusal| refusal.name()),
            novelty: finding.as_ref().ok().map(|finding| finding.novelty),
        };
        let (input, output, model) = (bytes, &output[..], &answer.report.model);
        let answered = Answered { model, record, input, output, ended };
        let opinion = self.note_answer(&answered, request.opinion.as_ref())?;
        answer.report.opinion = opinion;
        // What the file itself says is refused before any model is asked.
        if let (Some(shadow), Ok(image)) = (&in_use.shadow, &image) {
            let beside = MODELS.beside(shadow, backend, XrayModel::of, |network| network.read(image));
            self.note_shadow(shadow, (&finding, took), beside, Run::of_xray);
        }
        Ok(answer)
    }
}

/// The networks of this process.
static MODELS: ModelCache<XrayModel> = ModelCache::new();

/// A network that reads chest radiographs.
type XrayReader = Reader<XrayModel>;

/// The compiled-in model, for pictures that belong to no home.
///
/// # Errors
/// [`Problem`] when it cannot be read.
pub(crate) fn built_in(backend: Backend) -> Result<XrayReader, Problem> {
    MODELS.get(&Chosen::built_in(XRAY_MODEL)?, backend, XrayModel::of)
}

/// A picture that was read, with what is needed to read it again beside.
struct Read {
    answer: ImageAnswer,
    image: Result<GrayImage, Refusal>,
    finding: Result<XrayFinding, Refusal>,
    took: Duration,
}

/// The first inline PNG, JPEG or DICOM of a resource.
pub(super) fn inline_picture(resource: &Value) -> Option<Vec<u8>> {
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
    reader: &XrayReader,
    explain: bool,
    wanted: &Wanted,
) -> Result<ImageAnswer, Problem> {
    Ok(read(bytes, reader, explain, wanted)?.answer)
}

fn read(bytes: &[u8], reader: &XrayReader, explain: bool, wanted: &Wanted) -> Result<Read, Problem> {
    let read = image::read(bytes)
        .map_err(|error| Problem::failed("cannot read the picture").because(error).next(FORMATS))?;
    let mut report = report(&read, reader);
    let image = admit(read);
    let started = Instant::now();
    let finding = image.as_ref().map_err(|refusal| *refusal).and_then(|image| reader.network.read(image));
    let took = started.elapsed();
    let mut overlay = None;
    match (&finding, &image) {
        (Ok(finding), Ok(image)) => {
            report.findings.push(ImageFinding {
                code: PNEUMONIA.to_owned(),
                label: "Pneumonia".to_owned(),
                probability: finding.probability,
            });
            report.novelty = Some(finding.novelty);
            if explain
                && wanted.still()
                && let Ok(saliency) = reader.network.explain(image)
            {
                let Overlay { width, height, rgba } = saliency.over(image, OVERLAY_SIDE);
                let png = crate::picture::rgba_png(width as u32, height as u32, &rgba);
                overlay = Some(BASE64.encode(&png.tried("draw what spoke for it")?));
                report.explanation = Some(explanation(saliency.values()));
            }
        }
        (Err(refusal), _) | (_, Err(refusal)) => report.refused = Some(refusal.to_string()),
    }
    Ok(Read { answer: ImageAnswer { report, overlay }, image, finding, took })
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

fn report(read: &ImageRead, reader: &XrayReader) -> ImageReport {
    ImageReport {
        refused: None,
        format: read.format.to_string(),
        width: read.width,
        height: read.height,
        frames: read.frames,
        findings: Vec::new(),
        novelty: None,
        explanation: None,
        model: reader.info(),
        advice: reader.advice(),
        opinion: None,
    }
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
