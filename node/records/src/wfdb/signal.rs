//! Signal files: signal(5) of the WFDB Applications Guide.
//!
//! Signals that name the same file one after the other share it frame by frame. All sizes are computed
//! with checked arithmetic and compared with the bytes that are really there before anything is allocated.

use super::header::{Header, SignalLine, low_16_bits};
use super::{MAX_SAMPLES, Signal, WfdbError};

/// Reads all signals; the second value is the number of frames.
pub(super) fn read_all(
    header: &Header,
    files: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
) -> Result<(Vec<Signal>, u64), WfdbError> {
    let mut frames = header.frames;
    let mut signals: Vec<Signal> = Vec::with_capacity(header.signals.len());
    let mut samples = 0_u64;
    let mut from = 0;
    while let Some(first) = header.signals.get(from) {
        let count = header.signals[from..].iter().take_while(|line| line.file == first.file).count();
        let lines = &header.signals[from..from + count];
        let group = Group { first: from, lines };
        group.check()?;
        let bytes = files(&first.file).ok_or(WfdbError::Missing { signal: from })?;
        let known = frames.map_or_else(|| group.frames_in(&bytes), Ok)?;
        frames = Some(known);
        samples =
            known.checked_mul(group.frame_samples()).and_then(|n| samples.checked_add(n)).unwrap_or(u64::MAX);
        if samples > MAX_SAMPLES {
            return Err(WfdbError::TooLarge);
        }
        signals.extend(group.read(&bytes, known)?);
        from += count;
    }
    Ok((signals, frames.unwrap_or(0)))
}

/// The value that stands for "not measured".
pub(super) fn invalid(format: u16) -> Option<i32> {
    match format {
        80 | 508 => Some(-(1 << 7)),
        310 | 311 => Some(-(1 << 9)),
        212 => Some(-(1 << 11)),
        16 | 61 | 160 | 516 => Some(-(1 << 15)),
        24 | 524 => Some(-(1 << 23)),
        32 => Some(i32::MIN),
        _ => None,
    }
}

/// The signals of one file.
struct Group<'h> {
    /// Number of the first one.
    first: usize,
    lines: &'h [SignalLine],
}

impl Group<'_> {
    /// One format, one offset, and a format that exists.
    fn check(&self) -> Result<(), WfdbError> {
        for (at, line) in self.lines.iter().enumerate() {
            let signal = self.first + at;
            if !matches!(line.format, 8 | 16 | 24 | 32 | 61 | 80 | 160 | 212 | 310 | 311 | 508 | 516 | 524) {
                return Err(WfdbError::Format { signal });
            }
            let first = &self.lines[0];
            let flac = line.format > 500 && line.samples_per_frame != first.samples_per_frame;
            if line.format != first.format || line.offset != first.offset || flac {
                return Err(WfdbError::Layout { signal });
            }
        }
        Ok(())
    }

    fn frame_samples(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.samples_per_frame)).sum()
    }

    /// How many whole frames the file holds.
    fn frames_in(&self, bytes: &[u8]) -> Result<u64, WfdbError> {
        let line = &self.lines[0];
        if line.format > 500 {
            let reader = flac(bytes).ok_or(WfdbError::Flac { signal: self.first })?;
            let samples = reader.streaminfo().samples.ok_or(WfdbError::Flac { signal: self.first })?;
            return Ok(samples.saturating_sub(line.offset) / u64::from(line.samples_per_frame));
        }
        let present = (bytes.len() as u64).saturating_sub(line.offset);
        let samples = match line.format {
            8 | 80 => present,
            16 | 61 | 160 => present / 2,
            24 => present / 3,
            32 => present / 4,
            212 => present * 2 / 3,
            _ => present * 3 / 4,
        };
        Ok(samples / self.frame_samples())
    }

    fn read(&self, bytes: &[u8], frames: u64) -> Result<Vec<Signal>, WfdbError> {
        let frames = usize::try_from(frames).map_err(|_| WfdbError::TooLarge)?;
        let mut channels = if self.lines[0].format > 500 {
            self.read_flac(bytes, frames)?
        } else {
            self.read_plain(bytes, frames)?
        };
        let mut signals = Vec::with_capacity(channels.len());
        for (at, line) in self.lines.iter().enumerate() {
            let mut samples = std::mem::take(&mut channels[at]);
            let signal = self.first + at;
            if line.checksum.is_some_and(|sum| sum != checksum(&samples)) {
                return Err(WfdbError::Checksum { signal });
            }
            skew(&mut samples, line);
            signals.push(Signal {
                description: line.description.clone(),
                units: line.units.clone(),
                gain_per_unit: line.gain_per_unit,
                baseline: line.baseline,
                samples_per_frame: line.samples_per_frame,
                format: line.format,
                resolution_bits: line.resolution_bits,
                samples,
            });
        }
        Ok(signals)
    }

    fn read_plain(&self, bytes: &[u8], frames: usize) -> Result<Vec<Vec<i32>>, WfdbError> {
        let truncated = WfdbError::Truncated { signal: self.first };
        let line = &self.lines[0];
        let frame = usize::try_from(self.frame_samples()).map_err(|_| WfdbError::TooLarge)?;
        let total = frames.checked_mul(frame).ok_or(WfdbError::TooLarge)?;
        let offset = usize::try_from(line.offset).map_err(|_| WfdbError::Truncated { signal: self.first })?;
        let needed = bytes_of(line.format, total).ok_or(WfdbError::TooLarge)?;
        let end = offset.checked_add(needed).ok_or(WfdbError::TooLarge)?;
        let Some(data) = bytes.get(offset..end) else { return Err(truncated) };
        let mut channels: Vec<Vec<i32>> = self
            .lines
            .iter()
            .map(|line| Vec::with_capacity(frames.saturating_mul(line.samples_per_frame as usize)))
            .collect();
        let mut running: Vec<i32> = self.lines.iter().map(|line| line.initial.unwrap_or(0)).collect();
        let mut at = 0;
        for _ in 0..frames {
            for (signal, line) in self.lines.iter().enumerate() {
                for _ in 0..line.samples_per_frame {
                    let mut value = sample(line.format, data, at);
                    if line.format == 8 {
                        // Differences; the header gives the value they start from.
                        running[signal] = running[signal].wrapping_add(value);
                        value = running[signal];
                    }
                    channels[signal].push(value);
                    at += 1;
                }
            }
        }
        Ok(channels)
    }

    /// One FLAC channel for each signal; the offset counts samples, not bytes.
    fn read_flac(&self, bytes: &[u8], frames: usize) -> Result<Vec<Vec<i32>>, WfdbError> {
        let damaged = || WfdbError::Flac { signal: self.first };
        let line = &self.lines[0];
        let mut reader = flac(bytes).ok_or_else(damaged)?;
        let info = reader.streaminfo();
        let fits = info.channels as usize == self.lines.len()
            && info.bits_per_sample <= u32::from(line.format) - 500;
        if !fits {
            return Err(damaged());
        }
        let wanted = frames.checked_mul(line.samples_per_frame as usize).ok_or(WfdbError::TooLarge)?;
        let mut channels: Vec<Vec<i32>> = vec![Vec::new(); self.lines.len()];
        let mut skip = line.offset;
        let mut blocks = reader.blocks();
        let mut buffer = Vec::new();
        while channels[0].len() < wanted {
            let block = blocks.read_next_or_eof(buffer).map_err(|_| damaged())?;
            let block = block.ok_or(WfdbError::Truncated { signal: self.first })?;
            if block.channels() as usize != self.lines.len() || block.duration() == 0 {
                return Err(damaged());
            }
            let skipped = u32::try_from(skip).unwrap_or(u32::MAX).min(block.duration());
            skip -= u64::from(skipped);
            for (number, samples) in channels.iter_mut().enumerate() {
                let number = u32::try_from(number).map_err(|_| damaged())?;
                let missing = wanted - samples.len();
                let channel = block.channel(number);
                samples.extend(channel.iter().skip(skipped as usize).take(missing));
            }
            buffer = block.into_buffer();
        }
        Ok(channels)
    }
}

/// Bytes that `samples` samples fill; the last group of formats 212, 310 and 311 may be cut short.
fn bytes_of(format: u16, samples: usize) -> Option<usize> {
    match format {
        8 | 80 => Some(samples),
        16 | 61 | 160 => samples.checked_mul(2),
        24 => samples.checked_mul(3),
        32 => samples.checked_mul(4),
        212 => samples.checked_mul(3).map(|n| n.div_ceil(2)),
        // The third sample of format 310 is spread over both words, the second fills the second word.
        310 => (samples / 3).checked_mul(4)?.checked_add([0, 2, 4][samples % 3]),
        _ => (samples / 3).checked_mul(4)?.checked_add([0, 2, 3][samples % 3]),
    }
}

/// Sample `at` of `data`, which holds at least [`bytes_of`] `at + 1` bytes.
fn sample(format: u16, data: &[u8], at: usize) -> i32 {
    let byte = |at: usize| data.get(at).copied().unwrap_or(0);
    let le = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    match format {
        8 => i32::from(i8::from_le_bytes([byte(at)])),
        80 => i32::from(byte(at)) - 128,
        16 => i32::from(i16::from_le_bytes([byte(2 * at), byte(2 * at + 1)])),
        61 => i32::from(i16::from_be_bytes([byte(2 * at), byte(2 * at + 1)])),
        160 => i32::from(le(2 * at)) - 32_768,
        24 => signed(u32::from_le_bytes([byte(3 * at), byte(3 * at + 1), byte(3 * at + 2), 0]), 24),
        32 => {
            let from = 4 * at;
            i32::from_le_bytes([byte(from), byte(from + 1), byte(from + 2), byte(from + 3)])
        }
        212 => {
            let from = at / 2 * 3;
            let (low, middle, high) =
                (u32::from(byte(from)), u32::from(byte(from + 1)), u32::from(byte(from + 2)));
            signed(
                if at.is_multiple_of(2) { low | (middle & 0x0f) << 8 } else { high | (middle & 0xf0) << 4 },
                12,
            )
        }
        310 => {
            let from = at / 3 * 4;
            let (first, second) = (u32::from(le(from)), u32::from(le(from + 2)));
            signed(
                match at % 3 {
                    0 => first >> 1,
                    1 => second >> 1,
                    _ => first >> 11 | second >> 11 << 5,
                },
                10,
            )
        }
        _ => {
            let from = at / 3 * 4;
            let word = u32::from(le(from)) | u32::from(le(from + 2)) << 16;
            signed(word >> (10 * (at % 3)), 10)
        }
    }
}

/// The low `bits` of `number` as two's complement.
fn signed(number: u32, bits: u32) -> i32 {
    let shift = 32 - bits;
    i32::from_le_bytes((number << shift).to_le_bytes()) >> shift
}

fn checksum(samples: &[i32]) -> i16 {
    low_16_bits(samples.iter().fold(0_i64, |sum, sample| sum.wrapping_add(i64::from(*sample))))
}

/// Shifts a signal that was recorded late to the front; what is missing at the end was not measured.
fn skew(samples: &mut [i32], line: &SignalLine) {
    let shift =
        (line.skew_frames as usize).saturating_mul(line.samples_per_frame as usize).min(samples.len());
    if shift > 0 {
        samples.rotate_left(shift);
        let from = samples.len() - shift;
        samples[from..].fill(invalid(line.format).unwrap_or(0));
    }
}

/// Tags of a FLAC stream are of no use here and may claim any size, so they are not read.
fn flac(bytes: &[u8]) -> Option<claxon::FlacReader<&[u8]>> {
    let options = claxon::FlacReaderOptions { read_vorbis_comment: false, ..Default::default() };
    claxon::FlacReader::new_ext(bytes, options).ok()
}
