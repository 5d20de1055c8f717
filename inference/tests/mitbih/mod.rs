//! Just enough of WFDB to read the MIT-BIH recordings: format 212 and MIT annotations
//! (PhysioNet, signal(5) and annot(5)).

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use metaclinic_inference::ecg::{BeatClass, EcgSignal, LabelledRecording, Lead};

/// What PhysioNet prints for each annotation code (wfdb ecgcodes.h).
const SYMBOLS: &[u8] = b" NLRaVFJASEj/Q~ | sT*D\"=pB^t+u?![]en@xf()r";
const FLUTTER_BEGINS: u8 = 32;
const FLUTTER_ENDS: u8 = 33;
const SKIP: u8 = 59;
const AUX: u8 = 63;

/// The folder with the recordings, if the environment names one.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("METACLINIC_DATA")?).join("ecg-mitbih");
    folder.is_dir().then_some(folder)
}

/// The names of the recordings in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".hea").map(str::to_owned))
        .collect();
    names.sort();
    names
}

pub(crate) fn read(folder: &Path, name: &str) -> LabelledRecording {
    let header = fs::read_to_string(folder.join(format!("{name}.hea"))).unwrap();
    let mut lines = header.lines();
    let rate: f64 = lines.next().unwrap().split(' ').nth(2).unwrap().parse().unwrap();
    let packed = fs::read(folder.join(format!("{name}.dat.xz"))).unwrap();
    let mut bytes = Vec::new();
    lzma_rs::xz_decompress(&mut &packed[..], &mut bytes).unwrap();
    let leads = lines
        .take(2)
        .enumerate()
        .map(|(channel, line)| {
            let fields: Vec<&str> = line.split(' ').collect();
            let (gain, zero): (f32, f32) = (fields[2].parse().unwrap(), fields[4].parse().unwrap());
            let samples_mv =
                bytes.chunks_exact(3).map(|three| (unpack(three, channel) - zero) / gain).collect();
            Lead { name: fields[8].to_owned(), samples_mv }
        })
        .collect();
    let (beats, excluded) = annotations(&fs::read(folder.join(format!("{name}.atr"))).unwrap());
    // 201 and 202 are of one person (the directory of the database).
    let patient = if name == "202" { "201" } else { name };
    let signal = EcgSignal::new(rate, leads).unwrap();
    let groups = Vec::new();
    LabelledRecording { name: name.to_owned(), patient: patient.to_owned(), groups, signal, beats, excluded }
}

fn unpack(three: &[u8], channel: usize) -> f32 {
    let high = if channel == 0 { three[1] & 0x0f } else { three[1] >> 4 };
    let low = if channel == 0 { three[0] } else { three[2] };
    let value = i16::from(high) << 8 | i16::from(low);
    f32::from(if value > 2_047 { value - 4_096 } else { value })
}

fn annotations(bytes: &[u8]) -> (Vec<(usize, BeatClass)>, Vec<Range<usize>>) {
    let (mut beats, mut flutter, mut begun) = (Vec::new(), Vec::new(), None);
    let (mut sample, mut at) = (0i64, 0);
    while at + 1 < bytes.len() {
        let word = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        at += 2;
        let (code, value) = ((word >> 10) as u8, word & 0x3ff);
        match code {
            0 if value == 0 => break,
            SKIP => {
                let half = |from: usize| i64::from(u16::from_le_bytes([bytes[from], bytes[from + 1]]));
                sample += i64::from((half(at) << 16 | half(at + 2)) as i32);
                at += 4;
            }
            AUX => at += usize::from(value).next_multiple_of(2),
            60..=62 => {}
            _ => {
                sample += i64::from(value);
                let here = sample as usize;
                match code {
                    FLUTTER_BEGINS => begun = Some(here),
                    FLUTTER_ENDS => flutter.extend(begun.take().map(|from| from..here)),
                    code => {
                        let symbol = SYMBOLS.get(usize::from(code)).map_or(' ', |symbol| char::from(*symbol));
                        beats.extend(BeatClass::from_symbol(symbol).map(|class| (here, class)));
                    }
                }
            }
        }
    }
    (beats, flutter)
}
