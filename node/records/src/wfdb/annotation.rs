//! Annotations in the MIT format: annot(5) of the WFDB Applications Guide.

use super::WfdbError;

/// The most annotations of one file: a week of heart beats.
const MAX_ANNOTATIONS: usize = 4 << 20;
const SKIP: u8 = 59;
const NUM: u8 = 60;
const SUB: u8 = 61;
const CHN: u8 = 62;
const AUX: u8 = 63;

/// A mark at one moment of a recording, for instance a heart beat.
#[derive(Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The frame it belongs to, from 0.
    pub frame: i64,
    /// The code of ecgcodes.h, 0 to 49.
    pub code: u8,
    /// The subtype.
    pub subtype: i8,
    /// The signal it belongs to, from 0.
    pub channel: u8,
    /// A number of free meaning.
    pub number: i8,
    /// Text, for instance the rhythm that begins.
    pub auxiliary: Vec<u8>,
}

impl Annotation {
    /// The character that PhysioNet prints for the code (annotations of the WFDB Programmer's Guide).
    pub fn symbol(&self) -> char {
        const SYMBOLS: &[u8] = b" NLRaVFJASEj/Q~ | sT*D\"=pB^t+u?![]en@xf()r";
        SYMBOLS.get(usize::from(self.code)).map_or(' ', |symbol| char::from(*symbol))
    }

    /// Whether this marks a beat (`isqrs` of ecgmap.h).
    pub fn is_beat(&self) -> bool {
        matches!(self.code, 1..=13 | 25 | 30 | 31 | 34 | 35 | 38 | 41)
    }
}

impl std::fmt::Debug for Annotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Annotation").field("frame", &self.frame).finish_non_exhaustive()
    }
}

/// Reads an annotation file.
///
/// # Errors
/// [`WfdbError::Annotations`] when it ends in the middle of something, [`WfdbError::TooLarge`] for more
/// than four million annotations.
pub fn annotations(bytes: &[u8]) -> Result<Vec<Annotation>, WfdbError> {
    let mut found: Vec<Annotation> = Vec::new();
    let (mut at, mut frame) = (0_usize, 0_i64);
    // Number and channel hold until they are changed.
    let (mut number, mut channel) = (0_i8, 0_u8);
    let word = |at: usize| -> Result<u16, WfdbError> {
        let pair = bytes.get(at..at + 2).ok_or(WfdbError::Annotations { byte: at })?;
        Ok(u16::from_le_bytes([pair[0], pair[1]]))
    };
    while at < bytes.len() {
        let [low, high] = word(at)?.to_le_bytes();
        let (code, value) = (high >> 2, u16::from(high & 3) << 8 | u16::from(low));
        at += 2;
        match code {
            0 if value == 0 => break,
            SKIP => {
                // A long interval: the high word first, each word little-endian (PDP-11 order).
                let jump = u32::from(word(at)?) << 16 | u32::from(word(at + 2)?);
                frame = frame.saturating_add(i64::from(i32::from_le_bytes(jump.to_le_bytes())));
                at += 4;
            }
            NUM => {
                number = i8::from_le_bytes([low]);
                if let Some(last) = found.last_mut() {
                    last.number = number;
                }
            }
            CHN => {
                channel = low;
                if let Some(last) = found.last_mut() {
                    last.channel = channel;
                }
            }
            SUB => {
                if let Some(last) = found.last_mut() {
                    last.subtype = i8::from_le_bytes([low]);
                }
            }
            AUX => {
                let length = usize::from(value);
                let text = bytes.get(at..at + length).ok_or(WfdbError::Annotations { byte: at })?;
                if let Some(last) = found.last_mut() {
                    last.auxiliary = text.iter().copied().take_while(|byte| *byte != 0).collect();
                }
                at += length + length % 2;
            }
            _ => {
                if found.len() >= MAX_ANNOTATIONS {
                    return Err(WfdbError::TooLarge);
                }
                frame = frame.saturating_add(i64::from(value));
                found.push(Annotation { frame, code, subtype: 0, channel, number, auxiliary: Vec::new() });
            }
        }
    }
    Ok(found)
}
