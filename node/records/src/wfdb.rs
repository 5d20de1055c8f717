//! Recordings in the WFDB formats of PhysioNet: a text header, signal files and annotations.
//!
//! Source: the WFDB Applications Guide, header(5), signal(5) and annot(5)
//! (<https://physionet.org/physiotools/wag/>). Samples are kept as the whole numbers of the file.

mod annotation;
mod container;
mod header;
mod signal;

pub use annotation::{Annotation, annotations};
pub(crate) use container::MAX_CONTAINER_BYTES as MAX_BLOB_BYTES;
pub use container::{CONTENT_TYPE, container, container_files, from_container};

use jiff::civil::{Date, Time};

/// The most signals of one record.
pub const MAX_SIGNALS: usize = 256;
/// The most samples of one record, all signals together: a day of twelve leads at 100 Hz, 512 MiB.
pub const MAX_SAMPLES: u64 = 1 << 27;
/// The most bytes of a header.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// Why a record cannot be read. Holds numbers of lines and signals, never content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WfdbError {
    /// A line of the header breaks the rules of header(5).
    #[error("the header is malformed in line {line}")]
    Header {
        /// Line of the header, from 1.
        line: usize,
    },
    /// The header consists of segments in other headers.
    #[error("records of several segments are not supported")]
    MultiSegment,
    /// The record has no signals.
    #[error("the record has no signals")]
    NoSignals,
    /// More than 256 signals, or more samples than are read at once.
    #[error("the record is larger than is supported")]
    TooLarge,
    /// A storage format that signal(5) does not define.
    #[error("signal {signal} has an unknown storage format")]
    Format {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// Signals of one file that contradict each other, or a file name that leads elsewhere.
    #[error("signal {signal} is described in a way that cannot be read")]
    Layout {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// A signal file is missing.
    #[error("the file of signal {signal} is missing")]
    Missing {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// A signal file ends before the length that the header gives.
    #[error("the file of signal {signal} is shorter than its header says")]
    Truncated {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// A compressed signal file is damaged.
    #[error("the file of signal {signal} is not FLAC of the right shape")]
    Flac {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// The samples do not add up to the checksum in the header.
    #[error("signal {signal} does not match its checksum")]
    Checksum {
        /// Number of the signal, from 0.
        signal: usize,
    },
    /// Not an annotation file.
    #[error("the annotations are malformed at byte {byte}")]
    Annotations {
        /// Where reading stopped.
        byte: usize,
    },
    /// Not a container of ours.
    #[error("malformed recording container")]
    Container,
}

/// A recording.
#[derive(Clone)]
pub struct Record {
    /// The name in the header.
    pub name: String,
    /// Frames a second; a signal has `samples_per_frame` samples in each.
    pub sampling_rate_hz: f64,
    /// Frames.
    pub frames: u64,
    /// The local day it began; WFDB knows no time zones.
    pub base_date: Option<Date>,
    /// The local time of day it began.
    pub base_time: Option<Time>,
    /// The signals, in the order of the header.
    pub signals: Vec<Signal>,
    /// Comment lines without their number sign.
    pub comments: Vec<String>,
}

/// One signal of a recording.
#[derive(Clone)]
pub struct Signal {
    /// The label, for instance a lead.
    pub description: String,
    /// Unit of the physical value, `mV` if the header has none.
    pub units: String,
    /// Steps for one unit; never 0.
    pub gain_per_unit: f64,
    /// The step that means 0 units.
    pub baseline: i32,
    /// Samples in a frame, at least 1.
    pub samples_per_frame: u32,
    /// The storage format of signal(5), for instance 212.
    pub format: u16,
    /// Resolution of the converter, in bits; 0 if unknown.
    pub resolution_bits: u32,
    /// The steps.
    pub samples: Vec<i32>,
}

impl Signal {
    /// The value that means "not measured" in this format (signal(5)).
    pub fn invalid(&self) -> Option<i32> {
        signal::invalid(self.format)
    }

    /// Sample `at` in units; `None` behind the end and where nothing was measured.
    pub fn physical(&self, at: usize) -> Option<f64> {
        let sample = *self.samples.get(at)?;
        (self.invalid() != Some(sample))
            .then(|| (f64::from(sample) - f64::from(self.baseline)) / self.gain_per_unit)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("signals", &self.signals.len())
            .field("frames", &self.frames)
            .field("sampling_rate_hz", &self.sampling_rate_hz)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signal").field("samples", &self.samples.len()).finish_non_exhaustive()
    }
}

/// Reads a record: `header_bytes` are the header, `files` gives a signal file by its name.
///
/// `header_name` is the name of the header file; the record takes its name from the header itself.
///
/// # Errors
/// [`WfdbError`] for everything that is malformed, too large or missing, and for wrong checksums.
pub fn read(
    header_name: &str,
    header_bytes: &[u8],
    files: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
) -> Result<Record, WfdbError> {
    let header = header::parse(header_bytes)?;
    let (signals, frames) = signal::read_all(&header, files)?;
    let stem = header_name.rsplit_once('.').map_or(header_name, |(stem, _)| stem);
    let name = if header.name.is_empty() { stem.to_owned() } else { header.name };
    Ok(Record {
        name,
        sampling_rate_hz: header.sampling_rate_hz,
        frames,
        base_date: header.base_date,
        base_time: header.base_time,
        signals,
        comments: header.comments,
    })
}

#[cfg(test)]
mod tests;
