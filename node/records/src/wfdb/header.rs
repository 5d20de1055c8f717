//! The header of a record: header(5) of the WFDB Applications Guide.

use jiff::civil::{Date, Time};

use super::{MAX_HEADER_BYTES, MAX_SAMPLES, MAX_SIGNALS, WfdbError};

/// Frames a second when the header gives none (header(5), "sampling frequency").
const DEFAULT_RATE_HZ: f64 = 250.0;
/// Steps for one unit when the header gives none or 0 (header(5), "ADC gain").
const DEFAULT_GAIN: f64 = 200.0;
/// The sampling rates that are believed: one frame in eleven days to a thousand million a second.
const RATES_HZ: std::ops::RangeInclusive<f64> = 1e-6..=1e9;
/// The most samples of one signal in a frame, and frames of skew.
const MAX_FRAME: u32 = 1 << 20;

/// A parsed header.
pub(super) struct Header {
    pub(super) name: String,
    pub(super) sampling_rate_hz: f64,
    /// `None`: as many as the files hold.
    pub(super) frames: Option<u64>,
    pub(super) base_date: Option<Date>,
    pub(super) base_time: Option<Time>,
    pub(super) signals: Vec<SignalLine>,
    pub(super) comments: Vec<String>,
}

/// The line of one signal.
#[derive(Clone)]
pub(super) struct SignalLine {
    pub(super) file: String,
    pub(super) format: u16,
    pub(super) samples_per_frame: u32,
    pub(super) skew_frames: u32,
    pub(super) offset: u64,
    pub(super) gain_per_unit: f64,
    pub(super) baseline: i32,
    pub(super) units: String,
    pub(super) resolution_bits: u32,
    pub(super) initial: Option<i32>,
    /// The low 16 bits of the sum of all samples.
    pub(super) checksum: Option<i16>,
    pub(super) description: String,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Header, WfdbError> {
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(WfdbError::TooLarge);
    }
    // Old headers are Latin-1; numbers and names of files are ASCII in any case.
    let text = String::from_utf8_lossy(bytes);
    let mut comments = Vec::new();
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match line.trim().strip_prefix('#') {
            Some(comment) => comments.push(comment.trim().to_owned()),
            None if line.trim().is_empty() => {}
            None => lines.push((at + 1, line.trim())),
        }
    }
    let mut lines = lines.into_iter();
    let (at, record) = lines.next().ok_or(WfdbError::Header { line: 1 })?;
    let (mut header, count) = record_line(record, at)?;
    header.comments = comments;
    for _ in 0..count {
        let (line, text) = lines.next().ok_or(WfdbError::Header { line: at })?;
        let signal = signal_line(text).ok_or(WfdbError::Header { line })?;
        if !is_plain_name(&signal.file) {
            return Err(WfdbError::Layout { signal: header.signals.len() });
        }
        header.signals.push(signal);
    }
    if header.signals.is_empty() { Err(WfdbError::NoSignals) } else { Ok(header) }
}

fn record_line(text: &str, line: usize) -> Result<(Header, usize), WfdbError> {
    let wrong = WfdbError::Header { line };
    let mut fields = text.split_ascii_whitespace();
    let name = fields.next().unwrap_or_default();
    if name.contains('/') {
        return Err(WfdbError::MultiSegment);
    }
    let plain = name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let count: usize = fields.next().and_then(|field| field.parse().ok()).filter(|_| plain).ok_or(wrong)?;
    if count > MAX_SIGNALS {
        return Err(WfdbError::TooLarge);
    }
    // "rate/counter rate(counter base)": the counter only labels the time axis.
    let rate = fields.next().map_or(Some(DEFAULT_RATE_HZ), |field| {
        let rate: f64 = field.split(['/', '(']).next()?.parse().ok()?;
        RATES_HZ.contains(&rate).then_some(rate)
    });
    let frames = fields.next().map_or(Some(0), |field| field.parse::<u64>().ok());
    let (Some(sampling_rate_hz), Some(frames)) = (rate, frames) else {
        return Err(WfdbError::Header { line });
    };
    if frames > MAX_SAMPLES {
        return Err(WfdbError::TooLarge);
    }
    // A time or date that cannot be read is no reason to lose the signals.
    let base_time = fields.next().and_then(time);
    let base_date = fields.next().and_then(date);
    let frames = (frames > 0).then_some(frames);
    let name = name.to_owned();
    let (signals, comments) = (Vec::new(), Vec::new());
    Ok((Header { name, sampling_rate_hz, frames, base_date, base_time, signals, comments }, count))
}

fn signal_line(text: &str) -> Option<SignalLine> {
    let mut rest = text;
    let file = field(&mut rest)?.to_owned();
    let (format, samples_per_frame, skew_frames, offset) = layout(field(&mut rest)?)?;
    let mut line = SignalLine {
        file,
        format,
        samples_per_frame,
        skew_frames,
        offset,
        gain_per_unit: DEFAULT_GAIN,
        baseline: 0,
        units: "mV".to_owned(),
        resolution_bits: 0,
        initial: None,
        checksum: None,
        description: String::new(),
    };
    let Some(gain) = field(&mut rest) else { return Some(line) };
    let (gain, units) = gain.split_once('/').map_or((gain, None), |(gain, units)| (gain, Some(units)));
    if let Some(units) = units {
        line.units = units.chars().filter(|c| !c.is_control()).take(64).collect();
    }
    let (gain, baseline) = match gain.split_once('(') {
        None => (gain, None),
        Some((gain, baseline)) => (gain, Some(baseline.strip_suffix(')')?.parse::<i32>().ok()?)),
    };
    let gain: f64 = gain.parse().ok()?;
    // 0 means "not calibrated"; a gain that is not a normal number makes no finite values.
    line.gain_per_unit =
        if gain == 0.0 { DEFAULT_GAIN } else { Some(gain).filter(|gain| gain.is_normal())? };
    line.baseline = baseline.unwrap_or(0);
    let Some(resolution) = field(&mut rest) else { return Some(line) };
    line.resolution_bits = resolution.parse().ok()?;
    let Some(zero) = field(&mut rest) else { return Some(line) };
    let zero: i32 = zero.parse().ok()?;
    line.baseline = baseline.unwrap_or(zero);
    // Without an initial value a signal starts at the converter's zero (header(5)).
    line.initial = Some(zero);
    let Some(initial) = field(&mut rest) else { return Some(line) };
    line.initial = Some(initial.parse().ok()?);
    let Some(checksum) = field(&mut rest) else { return Some(line) };
    // Written with or without a sign; only the low 16 bits count.
    line.checksum = Some(low_16_bits(checksum.parse().ok()?));
    let Some(block) = field(&mut rest) else { return Some(line) };
    block.parse::<i64>().ok()?;
    line.description = rest.trim().chars().filter(|c| !c.is_control()).take(256).collect();
    Some(line)
}

/// `format x samples per frame : skew + byte offset`; all but the format may be missing.
fn layout(text: &str) -> Option<(u16, u32, u32, u64)> {
    let (text, offset) = text.split_once('+').map_or((text, "0"), |(text, offset)| (text, offset));
    let (text, skew) = text.split_once(':').map_or((text, "0"), |(text, skew)| (text, skew));
    let (format, samples) = text.split_once('x').map_or((text, "1"), |(format, samples)| (format, samples));
    let samples = samples.parse().ok().filter(|samples| (1..=MAX_FRAME).contains(samples))?;
    let skew = skew.parse().ok().filter(|skew| *skew <= MAX_FRAME)?;
    Some((format.parse().ok()?, samples, skew, offset.parse().ok()?))
}

/// The next field, taken off the front of `rest`.
fn field<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (field, after) = text.split_at(end);
    *rest = after;
    (!field.is_empty()).then_some(field)
}

/// A file of the same folder: no path, no hidden file, none of the two special names of WFDB.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 255
        && !name.starts_with(['.', '-', '~'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.~".contains(&b))
}

pub(super) fn low_16_bits(number: i64) -> i16 {
    let bytes = number.to_le_bytes();
    i16::from_le_bytes([bytes[0], bytes[1]])
}

/// `HH:MM:SS`, `MM:SS` or `SS`, each with a fraction.
fn time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').map_or((text, ""), |(whole, fraction)| (whole, fraction));
    let mut parts = [0_i8; 3];
    let given: Vec<&str> = whole.split(':').collect();
    let skipped = parts.len().checked_sub(given.len())?;
    for (part, text) in parts.iter_mut().skip(skipped).zip(given) {
        *part = text.parse().ok()?;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Time::new(parts[0], parts[1], parts[2], digits.parse().ok()?).ok()
}

/// `DD/MM/YYYY`.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let year = year.parse().ok().filter(|year| *year > 0)?;
    Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()
}
