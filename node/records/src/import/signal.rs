//! A WFDB record as a FHIR Observation and a blob of its original files.

use std::fmt::Write;

use jiff::Timestamp;

use super::{ImportOptions, Sink, unpack};
use crate::reply::quoted;
use crate::resource::{Resource, content_id, is_id};
use crate::wfdb::{self, Record, Signal};

/// Codes of the twelve standard leads (ISO/IEEE 11073-10101), by their label in lower case.
const LEADS: &[(&str, &str, &str)] = &[
    ("i", "131329", "MDC_ECG_ELEC_POTL_I"),
    ("ii", "131330", "MDC_ECG_ELEC_POTL_II"),
    ("iii", "131389", "MDC_ECG_ELEC_POTL_III"),
    ("avr", "131390", "MDC_ECG_ELEC_POTL_AVR"),
    ("avl", "131391", "MDC_ECG_ELEC_POTL_AVL"),
    ("avf", "131392", "MDC_ECG_ELEC_POTL_AVF"),
    ("v1", "131331", "MDC_ECG_ELEC_POTL_V1"),
    ("v2", "131332", "MDC_ECG_ELEC_POTL_V2"),
    ("v3", "131333", "MDC_ECG_ELEC_POTL_V3"),
    ("v4", "131334", "MDC_ECG_ELEC_POTL_V4"),
    ("v5", "131335", "MDC_ECG_ELEC_POTL_V5"),
    ("v6", "131336", "MDC_ECG_ELEC_POTL_V6"),
];
/// Labels of further leads that are an ECG, without a code here.
const OTHER_LEADS: &[&str] = &["mlii", "mliii", "vx", "vy", "vz", "ecg", "ecg1", "ecg2"];
/// Units that UCUM writes in the same way.
const UCUM_UNITS: &[&str] = &["mV", "uV", "V", "mm[Hg]", "%", "kPa", "L/min", "L", "mL"];
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// A recording: the blob to seal, and the Observation once the sealed blob has a hash.
#[derive(Clone)]
pub struct SignalImport {
    /// The original files (`wfdb::from_container` reads them); plaintext.
    pub blob: Vec<u8>,
    /// The id of the Observation; the same files give the same one.
    pub id: String,
    /// The name of the record, the title of its blob.
    pub title: String,
    /// The id of the patient.
    pub patient: Option<String>,
    before: String,
    after: String,
}

impl std::fmt::Debug for SignalImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalImport")
            .field("id", &self.id)
            .field("bytes", &self.blob.len())
            .finish_non_exhaustive()
    }
}

impl SignalImport {
    /// Makes one of a record and its files; the header is the first of them.
    fn new(record: &Record, files: &[(String, Vec<u8>)], options: &ImportOptions) -> Self {
        let blob = wfdb::container(files);
        let id = content_id(&blob);
        let (before, after) = observation(record, &id, options);
        Self { blob, id, title: record.name.clone(), patient: options.patient.clone(), before, after }
    }

    /// MIME type of [`SignalImport::blob`].
    pub const fn content_type(&self) -> &'static str {
        wfdb::CONTENT_TYPE
    }

    /// The Observation; `sealed_hash` is the BLAKE3 hash of the sealed blob and `sealed_bytes` its size.
    ///
    /// # Panics
    /// Never: the parts of the text are checked when the import is made.
    pub fn resource(&self, sealed_hash: &[u8; 32], sealed_bytes: u64) -> Resource {
        let mut attachment = String::new();
        let hash = blake3::Hash::from_bytes(*sealed_hash).to_hex();
        let _ = write!(
            attachment,
            "{{\"contentType\":\"{}\",\"url\":\"urn:metaclinic:blob:{hash}\",\"size\":{},\"title\":{}}}",
            wfdb::CONTENT_TYPE,
            // FHIR R4 has no larger unsignedInt.
            sealed_bytes.min(i32::MAX as u64),
            quoted(&self.title)
        );
        let text = format!("{}{attachment}{}", self.before, self.after);
        Resource::parse(&text).expect("the text was made of quoted parts and a checked id")
    }
}

/// Reads the record of a header and gives it to the sink.
pub(super) fn import(
    name: &str,
    header: Vec<u8>,
    sibling: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    options: &ImportOptions,
    sink: &mut Sink<'_>,
) {
    if options.patient.as_deref().is_some_and(|patient| !is_id(patient)) {
        return sink.reject(0, "the patient given for the signals is not a FHIR id");
    }
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut damaged = None;
    let mut find = |wanted: &str| {
        for ending in ["", ".xz", ".gz"] {
            let Some(bytes) = sibling(&format!("{wanted}{ending}")) else { continue };
            match unpack::unpack(bytes) {
                Ok(bytes) => return Some(bytes),
                Err(error) => damaged = Some(error),
            }
        }
        None
    };
    let record = wfdb::read(name, &header, &mut |wanted| {
        let bytes = find(wanted)?;
        files.push((wanted.to_owned(), bytes.clone()));
        Some(bytes)
    });
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let annotations = format!("{stem}.atr");
    let marks = if record.is_ok() { find(&annotations) } else { None };
    let record = match (record, damaged) {
        (Ok(record), _) => record,
        (Err(_), Some(error)) => return sink.reject(0, error.to_string()),
        (Err(error), None) => {
            let line = if let wfdb::WfdbError::Header { line } = error { line as u64 } else { 0 };
            return sink.reject(line, error.to_string());
        }
    };
    files.insert(0, (name.to_owned(), header));
    files.extend(marks.map(|bytes| (annotations, bytes)));
    if files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > wfdb::MAX_BLOB_BYTES {
        return sink.reject(0, "the recording is larger than is supported");
    }
    sink.signal(SignalImport::new(&record, &files, options));
}

/// The text of the Observation up to the attachment and from there on.
fn observation(record: &Record, id: &str, options: &ImportOptions) -> (String, String) {
    let mut before = String::new();
    let _ = write!(
        before,
        "{{\"resourceType\":\"Observation\",\"id\":\"{id}\",\
         \"extension\":[{{\"url\":\"urn:metaclinic:signal-blob\",\"valueAttachment\":"
    );
    let mut after = String::from(
        "}],\"status\":\"final\",\"category\":[{\"coding\":[{\"system\":\
        \"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"procedure\"}]}],\"code\":",
    );
    after.push_str(if record.signals.iter().any(is_ecg) {
        "{\"coding\":[{\"system\":\"http://loinc.org\",\"code\":\"11524-6\",\"display\":\"EKG study\"}],\
         \"text\":\"EKG study\"}"
    } else {
        "{\"text\":\"Signal recording\"}"
    });
    if let Some(patient) = &options.patient {
        let _ = write!(after, ",\"subject\":{{\"reference\":{}}}", quoted(&format!("Patient/{patient}")));
    }
    match record.base_date {
        // FHIR wants a time zone with every time and WFDB knows none, so the day is all that can be said.
        Some(date) => {
            let _ = write!(after, ",\"effectiveDateTime\":\"{date}\"");
        }
        None => {
            let _ = write!(
                after,
                ",\"_effectiveDateTime\":{{\"extension\":[{{\"url\":\"{ABSENT}\",\"valueCode\":\"unknown\"}}]}}"
            );
        }
    }
    if let Ok(issued) = Timestamp::from_millisecond(options.now.as_millis()) {
        let _ = write!(after, ",\"issued\":\"{issued}\"");
    }
    let mut separator = ",\"component\":[";
    for (number, signal) in record.signals.iter().enumerate() {
        after.push_str(separator);
        component(&mut after, record, number, signal);
        separator = ",";
    }
    after.push_str("]}");
    (before, after)
}

fn component(text: &mut String, record: &Record, number: usize, signal: &Signal) {
    let label =
        if signal.description.is_empty() { format!("signal {number}") } else { signal.description.clone() };
    let lower = label.to_ascii_lowercase();
    text.push_str("{\"code\":{");
    if let Some((_, code, display)) = LEADS.iter().find(|(name, ..)| *name == lower) {
        let _ = write!(
            text,
            "\"coding\":[{{\"system\":\"urn:iso:std:iso:11073:10101\",\"code\":\"{code}\",\"display\":\"{display}\"}}],"
        );
    }
    let _ = write!(text, "\"text\":{}}},\"valueSampledData\":{{\"origin\":{{\"value\":0", quoted(&label));
    let _ = write!(text, ",\"unit\":{}", quoted(&signal.units));
    if UCUM_UNITS.contains(&signal.units.as_str()) {
        let _ = write!(text, ",\"system\":\"http://unitsofmeasure.org\",\"code\":{}", quoted(&signal.units));
    }
    let period_ms = 1_000.0 / (record.sampling_rate_hz * f64::from(signal.samples_per_frame));
    let _ = write!(
        text,
        "}},\"period\":{},\"factor\":{},\"dimensions\":1}}}}",
        decimal(period_ms),
        decimal(1.0 / signal.gain_per_unit)
    );
}

/// A FHIR decimal of at most 18 digits.
fn decimal(number: f64) -> String {
    let scientific = format!("{number:e}");
    if (1e-6..1e12).contains(&number.abs()) { number.to_string() } else { scientific }
}

fn is_ecg(signal: &Signal) -> bool {
    let label = signal.description.to_ascii_lowercase();
    matches!(signal.units.as_str(), "mV" | "uV")
        || LEADS.iter().any(|(name, ..)| *name == label)
        || OTHER_LEADS.contains(&label.as_str())
}
