//! The images of PneumoniaMNIST, from the folder that METACLINIC_DATA names: a zip of arrays, each deflated.

use std::io::Read;
use std::path::Path;

use metaclinic_inference::xray::{GrayImage, LabelledXray, SIDE};

/// The images of `train` or `val`; `None` when there is no such folder.
pub(crate) fn images(split: &str) -> Option<Vec<LabelledXray>> {
    let root = std::env::var_os("METACLINIC_DATA")?;
    let zip = std::fs::read(Path::new(&root).join("pneumoniamnist/pneumoniamnist_train_val.npz")).ok()?;
    let pixels = array(&zip, &format!("{split}_images.npy"));
    let labels = array(&zip, &format!("{split}_labels.npy"));
    let image = |pixels: &[u8]| {
        let grey = pixels.iter().map(|value| f32::from(*value) / 255.0).collect();
        GrayImage::new(SIDE, SIDE, grey).unwrap()
    };
    let images = pixels.chunks(SIDE * SIDE).map(image).zip(labels);
    Some(images.map(|(image, label)| LabelledXray { image, pneumonia: label == 1 }).collect())
}

/// The bytes of an array, found by the name in the central directory (APPNOTE 4.3.12), behind its header (NEP 1).
fn array(zip: &[u8], name: &str) -> Vec<u8> {
    let word = |at: usize, bytes: usize| {
        zip[at..at + bytes].iter().rev().fold(0usize, |word, byte| (word << 8) | usize::from(*byte))
    };
    let entry = (0..zip.len() - 46)
        .find(|at| zip[*at..].starts_with(b"PK\x01\x02") && zip[at + 46..].starts_with(name.as_bytes()))
        .unwrap();
    let (length, local) = (word(entry + 20, 4), word(entry + 42, 4));
    let start = local + 30 + word(local + 26, 2) + word(local + 28, 2);
    let mut bytes = Vec::new();
    flate2::read::DeflateDecoder::new(&zip[start..start + length]).read_to_end(&mut bytes).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes.split_off(header)
}
