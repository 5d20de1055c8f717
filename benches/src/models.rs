//! One reading of a chest radiograph, and the memory of a process that holds every model and has used each.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inference::ecg::{EcgModel, EcgSignal, Lead};
use inference::glucose::{GLUCOSE_MODEL, GlucoseModel, GlucoseReading, GlucoseSeries};
use inference::risk::{RISK_MODELS, RiskModel, Values};
use inference::text::SentenceEncoder;
use inference::xray::{GrayImage, XRAY_MODEL, XrayModel};
use inference::{Backend, Model};
use tests::harness;

use crate::report::{Measured, percentile_ms};

const ROUNDS: usize = 40;
/// What a process may take with all models loaded and used, in megabytes.
const MOST_MB: f64 = 400.0;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/samples").join(name)
}

/// A chest radiograph in this process: the file read, unpacked, judged.
pub(crate) fn xray() -> Result<Measured, String> {
    let model = chest()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let bytes = std::fs::read(sample("pneumoniamnist-val-000.png")).map_err(|error| error.to_string())?;
        let image = gray(&bytes)?;
        model.read(&image).map_err(|refusal| refusal.to_string())?;
        times.push(started.elapsed());
    }
    let bytes = std::fs::read(sample("pneumoniamnist-val-000.png")).map_err(|error| error.to_string())?;
    let image = gray(&bytes)?;
    let mut explained: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS / 4 {
        let started = Instant::now();
        model.explain(&image).map_err(|refusal| refusal.to_string())?;
        explained.push(started.elapsed());
    }
    let mut measured = Measured::new(
        "xray",
        "one chest radiograph from a PNG file, the model loaded; five looks of four networks",
    );
    measured.figure("median, ms", percentile_ms(&mut times, 0.5));
    measured.at_most("p95, ms", percentile_ms(&mut times, 0.95), 50.0);
    measured.figure("what spoke for it, median, ms", percentile_ms(&mut explained, 0.5));
    Ok(measured)
}

/// The memory of this process once every model is loaded and has been used.
pub(crate) fn memory() -> Result<Measured, String> {
    let mut measured =
        Measured::new("memory", "every model loaded and used once by one process, resident memory");
    let resident = || harness::memory_kib(std::process::id(), "VmRSS") as f64 / 1e3;
    measured.figure("before, MB", resident());
    let ecg = EcgModel::built_in(Backend::default()).map_err(|error| error.to_string())?;
    ecg.read(&half_an_hour()?).map_err(|refusal| refusal.to_string())?;
    measured.figure("with the ECG model, after half an hour of two leads, MB", resident());
    let chest = chest()?;
    let bytes = std::fs::read(sample("pneumoniamnist-val-000.png")).map_err(|error| error.to_string())?;
    chest.explain(&gray(&bytes)?).map_err(|refusal| refusal.to_string())?;
    measured.figure("with the model of chest radiographs, MB", resident());
    let glucose =
        GlucoseModel::load(&named(GLUCOSE_MODEL)?, Backend::default()).map_err(|error| error.to_string())?;
    glucose.forecast(&hours_of_readings()?, None).map_err(|refusal| refusal.to_string())?;
    let mut risks = Vec::new();
    for name in RISK_MODELS {
        let risk = RiskModel::of(&named(name)?, Backend::default()).map_err(|error| error.to_string())?;
        // Of somebody of whom nothing is known there may be no risk; the weights were used all the same.
        let _ = risk.assess(&Values::none(risk.fields()));
        risks.push(risk);
    }
    measured.figure("with those of risk and of glucose, MB", resident());
    let folder =
        std::env::var_os("METACLINIC_MODELS").map(|folder| PathBuf::from(folder).join("all-minilm-l6-v2"));
    let encoder = folder.filter(|folder| folder.is_dir()).map(|folder| encoder(&folder)).transpose()?;
    if let Some(encoder) = &encoder {
        encoder.embed(&["what helps against a headache"]).map_err(|error| error.to_string())?;
        measured.figure("with the model of sentences, MB", resident());
    } else {
        println!("the model of sentences is left out: METACLINIC_MODELS has none");
    }
    measured.at_most("all models, MB", resident(), MOST_MB);
    measured.figure(
        "at most while they were loaded, MB",
        harness::memory_kib(std::process::id(), "VmHWM") as f64 / 1e3,
    );
    Ok(measured)
}

fn named(name: &str) -> Result<Model, String> {
    Model::named(name).map_err(|error| error.to_string())
}

fn chest() -> Result<XrayModel, String> {
    XrayModel::of(&named(XRAY_MODEL)?, Backend::default()).map_err(|error| error.to_string())
}

/// Six hours of a sensor that reads every five minutes.
fn hours_of_readings() -> Result<GlucoseSeries, String> {
    let reading = |at: i64| GlucoseReading { at_s: at * 300, mg_per_dl: 110.0 + (at % 12) as f32 };
    GlucoseSeries::new((0..72).map(reading).collect()).map_err(|refusal| refusal.to_string())
}

fn encoder(folder: &Path) -> Result<SentenceEncoder, String> {
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| error.to_string());
    SentenceEncoder::load(&read("model.safetensors")?, &read("tokenizer.json")?, Backend::default())
        .map_err(|error| error.to_string())
}

fn gray(bytes: &[u8]) -> Result<GrayImage, String> {
    let read = records::image::read(bytes).map_err(|error| error.to_string())?;
    GrayImage::new(read.width, read.height, read.luminance).map_err(|error| error.to_string())
}

/// The sample of five minutes six times over, as two leads.
fn half_an_hour() -> Result<EcgSignal, String> {
    let file = |name: &str| std::fs::read(sample(name)).ok();
    let header = file("mitdb-208-excerpt.hea").ok_or("the sample is missing")?;
    let record = records::wfdb::read("mitdb-208-excerpt.hea", &header, &mut |name| file(name))
        .map_err(|error| error.to_string())?;
    let signal = record.signals.first().ok_or("the sample has no lead")?;
    let value = |at| signal.physical(at).map_or(f32::NAN, |mv| mv as f32);
    let five: Vec<f32> = (0..signal.samples.len()).map(value).collect();
    let lead = |name: &str| Lead { name: name.to_owned(), samples_mv: five.repeat(6) };
    EcgSignal::new(record.sampling_rate_hz, vec![lead("MLII"), lead("V1")]).map_err(|error| error.to_string())
}
