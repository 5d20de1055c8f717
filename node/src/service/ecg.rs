//! An ECG from a file or a record: its numbers go to the model, what the model says comes back in words and as
//! a strip.

mod labelled;
mod strip;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inference::Backend;
use inference::ecg::{
    ECG_MODEL, EcgFinding, EcgModel, EcgSignal, LEAST_SHARE, Lead, Part, PartShares, Refusal,
};
use keys::{AuditAction, RecordId};
use records::wfdb::{self, Record};
use records::{ImportOptions, Imported};

use super::models::work::{ModelWork, Wanted};
use super::models::{Answered, Chosen, Ended, InUse, ModelCache, Reader, Run};
use super::problem::{Problem, Tried};
use super::records::{no_such_resource, parse_source, read_sibling};
use super::{Node, audit, blocking};
use crate::api::types::{
    EcgAnswer, EcgBeat, EcgExplanation, EcgPart, EcgReport, EcgRequest, EcgRhythm, EcgStretch, StripRequest,
};
use crate::clock;

pub(crate) use labelled::labelled_recordings;

/// The largest header or signal file that is read from disk.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The next step wherever a recording cannot be used.
const FORMATS: &str = "a WFDB recording is a header NAME.hea with its signal files beside it";

impl Node {
    /// Reads a stored recording with the model; audited as a reading of the record.
    ///
    /// # Errors
    /// [`Problem`] when there is no such recording, or it is no ECG. A recording that is refused is no error.
    pub(crate) async fn diagnose_ecg(self: &Arc<Self>, request: EcgRequest) -> Result<EcgAnswer, Problem> {
        let backend = parse_backend(request.backend.as_deref())?;
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let id = self.find(&request.resource_type, &request.id, source)?;
        let node = Arc::clone(self);
        let stored = blocking(move || node.stored(&id)).await?.ok_or_else(no_such_resource)?;
        let wanted = |attachment: &&records::Attachment| attachment.content_type == wfdb::CONTENT_TYPE;
        let attachment = stored.attachments.iter().find(wanted).ok_or_else(|| {
            Problem::not_found("this resource holds no recording")
                .next("find recordings with: metaclinic records search \"Observation?code=11524-6\"")
        })?;
        let bytes = self.open_attachment(attachment).await?;
        let mut event = audit::event(clock::now(), AuditAction::Read, 1);
        event.1.object = Some(*id.as_bytes());
        self.note(vec![event])?;
        let in_use = self.in_use(ECG_MODEL).await?;
        let node = Arc::clone(self);
        let read = move |wanted: &Wanted| node.answer_ecg(id, &bytes, backend, &in_use, &request, wanted);
        ModelWork::shared().run(read).await
    }

    /// Reads with the model in use, and with the one beside it; the answer is that of the one in use.
    fn answer_ecg(
        &self,
        record: RecordId,
        bytes: &[u8],
        backend: Backend,
        in_use: &InUse,
        request: &EcgRequest,
        wanted: &Wanted,
    ) -> Result<EcgAnswer, Problem> {
        let recording = wfdb::from_container(bytes).tried("read the recording")?;
        let reader = MODELS.get(&in_use.active, backend, EcgModel::load)?;
        let Read { mut answer, signal, finding, took } = read(&recording, &reader, request.strip, wanted)?;
        let output = serde_json::to_vec(&answer.report).tried("write the result")?;
        let ended = Ended {
            refused: finding.as_ref().err().map(|refusal| refusal.name()),
            novelty: finding.as_ref().ok().and_then(|finding| finding.novelty),
        };
        let (input, output, model) = (bytes, &output[..], &answer.report.model);
        let answered = Answered { model, record, input, output, ended };
        let opinion = self.note_answer(&answered, request.opinion.as_ref())?;
        answer.report.opinion = opinion;
        if let Some(shadow) = &in_use.shadow {
            let beside = MODELS.beside(shadow, backend, EcgModel::load, |network| network.read(&signal));
            self.note_shadow(shadow, (&finding, took), beside, Run::of_ecg);
        }
        Ok(answer)
    }
}

/// The networks of this process.
static MODELS: ModelCache<EcgModel> = ModelCache::new();

/// A network that reads ECGs.
type EcgReader = Reader<EcgModel>;

/// The compiled-in model, for recordings that belong to no home.
///
/// # Errors
/// [`Problem`] when it cannot be read.
pub(crate) fn built_in(backend: Backend) -> Result<EcgReader, Problem> {
    MODELS.get(&Chosen::built_in(ECG_MODEL)?, backend, EcgModel::load)
}

/// A recording that was read, with what is needed to read it again beside.
struct Read {
    answer: EcgAnswer,
    signal: EcgSignal,
    finding: Result<EcgFinding, Refusal>,
    took: Duration,
}

/// Reads a recording with the model, and draws a stretch of it if asked to. Takes seconds of one core for a long
/// recording: for the threads of the models.
///
/// # Errors
/// [`Problem`] when it is no ECG, the stretch lies outside, or nobody wants it any more. A recording that is refused is no
/// error.
pub(crate) fn diagnose(
    record: &Record,
    reader: &EcgReader,
    strip: Option<StripRequest>,
    wanted: &Wanted,
) -> Result<EcgAnswer, Problem> {
    Ok(read(record, reader, strip, wanted)?.answer)
}

fn read(
    record: &Record,
    reader: &EcgReader,
    strip: Option<StripRequest>,
    wanted: &Wanted,
) -> Result<Read, Problem> {
    let signal = signal(record)?;
    let started = Instant::now();
    let finding = reader
        .network
        .read_while(&signal, &|| wanted.still())
        .ok_or_else(|| Problem::failed("the reading was ended before it was done"))?;
    let took = started.elapsed();
    let report = report(&signal, finding.as_ref().map_err(ToString::to_string), reader);
    let svg = strip.map(|wanted| strip::svg(&signal, finding.as_ref().ok(), wanted)).transpose()?;
    Ok(Read { answer: EcgAnswer { report, svg }, signal, finding, took })
}

/// The default backend, or the one of this name.
///
/// # Errors
/// [`Problem`] when this program was not built with it.
pub(crate) fn parse_backend(name: Option<&str>) -> Result<Backend, Problem> {
    let Some(name) = name else { return Ok(Backend::default()) };
    name.parse().map_err(|error| {
        Problem::wrong_use(format!("{name} is no backend of this program"))
            .because(error)
            .next("the backend ndarray comes with the cargo feature ndarray")
    })
}

/// The leads of a recording that are an ECG, in millivolts.
///
/// # Errors
/// [`Problem`] when there is none, or the model takes no such recording.
pub(crate) fn signal(record: &Record) -> Result<EcgSignal, Problem> {
    let leads: Vec<(u32, Lead)> =
        record.signals.iter().filter_map(|s| Some((s.samples_per_frame, lead(s)?))).collect();
    // Leads at another rate than the fastest are left out: nearly all recordings have one rate.
    let fastest = leads.iter().map(|(per_frame, _)| *per_frame).max().ok_or_else(|| {
        Problem::failed("the recording has no lead in volts, so it is no ECG").next(FORMATS)
    })?;
    let leads =
        leads.into_iter().filter(|(per_frame, _)| *per_frame == fastest).map(|(_, lead)| lead).collect();
    EcgSignal::new(record.sampling_rate_hz * f64::from(fastest), leads)
        .map_err(|error| Problem::failed("the recording cannot be read as an ECG").because(error))
}

fn lead(signal: &wfdb::Signal) -> Option<Lead> {
    let to_mv = match signal.units.as_str() {
        "mV" => 1.0,
        "uV" | "µV" | "μV" => 1e-3,
        "V" => 1e3,
        "nV" => 1e-6,
        _ => return None,
    };
    let sample = |at| signal.physical(at).map_or(f32::NAN, |value| (value * to_mv) as f32);
    Some(Lead {
        name: signal.description.clone(),
        samples_mv: (0..signal.samples.len()).map(sample).collect(),
    })
}

/// Reads a recording from its files: the header (`.hea`), a signal file (`.dat`), or the name without an ending.
///
/// # Errors
/// [`Problem`] with what is wrong with which line.
pub(crate) fn read_file(path: &Path) -> Result<Record, Problem> {
    let header = header_of(path);
    let shown = header.display();
    let too_large = |size: u64| size > MAX_FILE_BYTES;
    let size = std::fs::metadata(&header)
        .map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error).next(FORMATS))?
        .len();
    if too_large(size) {
        return Err(Problem::failed(format!("{shown} is larger than is read")).next(FORMATS));
    }
    let bytes = std::fs::read(&header).tried("read the header")?;
    let name = header.file_name().and_then(|name| name.to_str()).unwrap_or("recording.hea").to_owned();
    let folder = header.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut found: Result<Record, Problem> =
        Err(Problem::failed(format!("{shown} holds no recording")).next(FORMATS));
    let options = ImportOptions { patient: None, now: clock::now() };
    // Decoders of packed files are others' code: one that panics on a hostile file must not end the program.
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut sibling = |wanted: &str| read_sibling(&folder, wanted);
        records::import_file(&name, bytes, &mut sibling, &options, &mut |item| {
            found = match item {
                Ok(Imported::Signal(signal)) => {
                    wfdb::from_container(&signal.blob).tried("read the recording")
                }
                Ok(Imported::Resource(_)) => {
                    Err(Problem::failed(format!("{shown} is no recording")).next(FORMATS))
                }
                Err(rejection) => {
                    let line =
                        if rejection.line > 0 { format!(" line {}", rejection.line) } else { String::new() };
                    Err(Problem::failed(format!("cannot read {shown}{line}: {}", rejection.reason))
                        .next(FORMATS))
                }
            };
            std::ops::ControlFlow::Break(())
        });
    }));
    match read {
        Ok(()) => found,
        Err(_) => Err(Problem::failed(format!("{shown} breaks its decoder")).next(FORMATS)),
    }
}

/// The header that a path means: itself, or the one beside a signal file, or the one of that name.
pub(crate) fn header_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.contains(".hea") {
        return path.to_path_buf();
    }
    let stem = ["dat", "dat.xz", "dat.gz", "atr"]
        .iter()
        .find_map(|ending| name.strip_suffix(&format!(".{ending}")))
        .unwrap_or(name);
    ["hea", "hea.gz", "hea.xz"]
        .iter()
        .map(|ending| path.with_file_name(format!("{stem}.{ending}")))
        .find(|header| header.is_file())
        .unwrap_or_else(|| path.to_path_buf())
}

fn report(signal: &EcgSignal, finding: Result<&EcgFinding, String>, reader: &EcgReader) -> EcgReport {
    let seconds = |sample: usize| sample as f64 / signal.sampling_rate_hz();
    let mut report = EcgReport {
        refused: None,
        leads: signal.leads().iter().map(|lead| lead.name.clone()).collect(),
        sampling_rate_hz: signal.sampling_rate_hz(),
        duration_s: signal.duration_s(),
        beats: Vec::new(),
        rhythm: None,
        unreadable: Vec::new(),
        explanation: Vec::new(),
        novelty: None,
        model: reader.info(),
        advice: reader.advice(),
        opinion: None,
    };
    let finding = match finding {
        Ok(finding) => finding,
        Err(refusal) => {
            report.refused = Some(refusal);
            return report;
        }
    };
    report.beats = finding
        .beats
        .iter()
        .map(|beat| EcgBeat {
            sample: beat.beat.sample,
            class: beat.class.letter(),
            probability: beat.probability,
        })
        .collect();
    let stretch = |samples: std::ops::Range<usize>| EcgStretch {
        from_s: seconds(samples.start),
        to_s: seconds(samples.end),
    };
    report.unreadable = finding.quality.unreadable().into_iter().map(stretch).collect();
    let told = finding.beats.iter().filter(|beat| !beat.reasons.is_empty());
    report.explanation = told
        .map(|beat| EcgExplanation {
            sample: beat.beat.sample,
            class: beat.class.letter(),
            reasons: beat.reasons.iter().map(ToString::to_string).collect(),
            rested_on: beat.parts.map(rested_on).unwrap_or_default(),
        })
        .collect();
    report.rhythm = Some(rhythm(finding));
    report.novelty = finding.novelty;
    report
}

/// The parts that spoke for a class, the strongest first.
fn rested_on(shares: PartShares) -> Vec<EcgPart> {
    let part = |(part, share): (Part, f32)| EcgPart { part: part.name().to_owned(), share };
    let told = Part::ALL.into_iter().zip(shares).filter(|(_, share)| *share >= LEAST_SHARE);
    let mut parts: Vec<EcgPart> = told.map(part).collect();
    parts.sort_by(|left, right| right.share.total_cmp(&left.share));
    parts
}

fn rhythm(finding: &EcgFinding) -> EcgRhythm {
    let rhythm = &finding.rhythm;
    let pause_at = finding.beats.get(rhythm.longest_pause_after_beat);
    EcgRhythm {
        beats: rhythm.beats,
        mean_rate_per_min: rhythm.mean_rate_per_min,
        min_rate_per_min: rhythm.min_rate_per_min,
        max_rate_per_min: rhythm.max_rate_per_min,
        sdnn_ms: rhythm.sdnn_ms,
        rmssd_ms: rhythm.rmssd_ms,
        pnn50_percent: rhythm.pnn50_percent,
        longest_pause_s: rhythm.longest_pause_s,
        longest_pause_at_sample: pause_at.map_or(0, |beat| beat.beat.sample),
        irregularity: rhythm.irregularity,
        supraventricular_burden_percent: rhythm.supraventricular_burden_percent,
        ventricular_burden_percent: rhythm.ventricular_burden_percent,
    }
}
