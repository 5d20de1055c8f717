//! Labelled chest radiographs as MedMNIST v2 publishes them (Yang et al., Scientific Data 2023): a `.npz` with
//! `train_images.npy`, `train_labels.npy` and the same of `val` and `test`, each image of bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use inference::xray::{GrayImage, LabelledXray};

use super::super::models::Progress;
use super::super::problem::{Problem, Tried};

/// The parts of the official split.
const SPLITS: [(&str, &str); 3] = [("train", "training"), ("val", "validation"), ("test", "test")];
/// No part holds more images, and no image more pixels.
const MAX_IMAGES: usize = 100_000;
const MAX_PART_BYTES: u64 = 1 << 30;

/// Images of each part that the file holds; the name of the part as a card says it.
pub(crate) struct LabelledXrays(pub(crate) Vec<(&'static str, Vec<LabelledXray>)>);

impl LabelledXrays {
    /// Reads the one `.npz` of a folder.
    ///
    /// # Errors
    /// [`Problem`] when there is none, or it is malformed.
    pub(crate) fn read(folder: &Path, progress: Progress<'_>) -> Result<LabelledXrays, Problem> {
        let path = the_file(folder)?;
        let shown = path.display();
        let file = File::open(&path)
            .map_err(|error| Problem::failed(format!("cannot read {shown}")).because(error))?;
        let mut archive = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|error| Problem::failed(format!("{shown} is no .npz file")).because(error))?;
        let mut parts = Vec::new();
        for (index, (split, name)) in SPLITS.into_iter().enumerate() {
            if archive.index_for_name(&format!("{split}_images.npy")).is_none() {
                continue;
            }
            let images = Array::read(&mut archive, &format!("{split}_images.npy"))?;
            let labels = Array::read(&mut archive, &format!("{split}_labels.npy"))?;
            parts.push((
                name,
                labelled(&images, &labels).ok_or_else(|| {
                    Problem::failed(format!("images and labels of {split} in {shown} do not belong together"))
                })?,
            ));
            progress(index + 1, SPLITS.len());
        }
        if parts.is_empty() {
            return Err(Problem::failed(format!("{shown} holds no images of a MedMNIST split")));
        }
        Ok(LabelledXrays(parts))
    }

    /// The images of a part; none when the file lacks it.
    pub(crate) fn part(&self, name: &str) -> &[LabelledXray] {
        self.0.iter().find(|(part, _)| *part == name).map_or(&[], |(_, images)| images)
    }
}

fn the_file(folder: &Path) -> Result<PathBuf, Problem> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Problem::failed(format!("cannot read the folder {shown}")).because(error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "npz"));
    files.sort();
    files.into_iter().next().ok_or_else(|| {
        Problem::failed(format!("there is no .npz file in {shown}"))
            .next("name a folder with MedMNIST's pneumoniamnist.npz")
    })
}

fn labelled(images: &Array, labels: &Array) -> Option<Vec<LabelledXray>> {
    let [count, height, width] = images.shape[..] else { return None };
    if labels.shape.first() != Some(&count) || labels.bytes.len() != count || count > MAX_IMAGES {
        return None;
    }
    let image = |(pixels, label): (&[u8], &u8)| {
        let grey = pixels.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        Some(LabelledXray { image: GrayImage::new(width, height, grey).ok()?, pneumonia: *label == 1 })
    };
    images.bytes.chunks_exact((width * height).max(1)).zip(&labels.bytes).map(image).collect()
}

/// An array of bytes.
struct Array {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn read(archive: &mut zip::ZipArchive<BufReader<File>>, name: &str) -> Result<Array, Problem> {
        let entry = archive
            .by_name(name)
            .map_err(|error| Problem::failed(format!("{name} is missing")).because(error))?;
        let mut bytes = Vec::new();
        entry.take(MAX_PART_BYTES).read_to_end(&mut bytes).tried("unpack the images")?;
        Array::parse(&bytes).ok_or_else(|| Problem::failed(format!("{name} is no array of bytes in rows")))
    }

    /// NumPy's format, version 1 to 3 (NumPy Enhancement Proposal 1), of unsigned bytes in C order.
    fn parse(file: &[u8]) -> Option<Array> {
        let rest = file.strip_prefix(b"\x93NUMPY")?;
        let (length, start) = match rest.first()? {
            1 => (usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?)), 4),
            2 | 3 => (u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize, 6),
            _ => return None,
        };
        let header = std::str::from_utf8(rest.get(start..)?.get(..length)?).ok()?;
        let after = |key: &str| header.split_once(key).map(|(_, value)| value.trim_start());
        if !after("'descr':")?.starts_with("'|u1'") || !after("'fortran_order':")?.starts_with("False") {
            return None;
        }
        let shape = after("'shape':")?.strip_prefix('(')?.split_once(')')?.0;
        let shape: Vec<usize> = shape
            .split(',')
            .map(str::trim)
            .filter(|side| !side.is_empty())
            .map(|side| side.parse().ok())
            .collect::<Option<_>>()?;
        let bytes = rest.get(start + length..)?.to_vec();
        let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        (count == bytes.len()).then_some(Array { shape, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, bytes: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(bytes);
        file
    }

    #[test]
    fn arrays_of_bytes_are_read_and_others_refused() {
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 3), }\n";
        let array = Array::parse(&npy(header, &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!((array.shape, array.bytes), (vec![2, 1, 3], vec![1, 2, 3, 4, 5, 6]));
        for wrong in [
            npy(header, &[1, 2, 3]),
            npy(&header.replace("|u1", "<f4"), &[0; 24]),
            npy(&header.replace("False", "True"), &[0; 6]),
            npy(&header.replace("(2, 1, 3)", "(99999999999, 99999999999, 3)"), &[0; 6]),
            b"\x93NUMPY\x09".to_vec(),
            Vec::new(),
        ] {
            assert!(Array::parse(&wrong).is_none());
        }
        for end in 0..header.len() {
            assert!(Array::parse(&npy(header, &[0; 6])[..end]).is_none());
        }
    }
}
