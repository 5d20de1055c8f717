//! Pictures of the public set `dicom`, read from the folder that METACLINIC_DATA names; without it the test says that
//! it skips.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use metaclinic_records::image::{ImageRead, read};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("METACLINIC_DATA").map(|root| Path::new(&root).join("dicom/pydicom"));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: METACLINIC_DATA has no dicom/pydicom");
    }
    folder
}

fn check(image: &ImageRead) {
    assert_eq!(image.luminance.len(), image.width * image.height);
    assert!(image.luminance.iter().all(|value| (0.0..=1.0).contains(value)));
}

#[test]
fn every_dicom_file_reads_or_says_why_not() {
    let Some(folder) = folder() else { return };
    let mut read_files = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "dcm") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match read(&fs::read(&path).unwrap()) {
            Ok(image) => {
                check(&image);
                let mean = image.luminance.iter().sum::<f32>() / image.luminance.len() as f32;
                println!(
                    "{name}: {image:?}, {} frames, {:?}, colour {}, mean {mean:.3}",
                    image.frames, image.modality, image.colour
                );
                read_files.insert(name, image);
            }
            Err(error) => {
                println!("{name}: {error}");
                refused.insert(name, error);
            }
        }
    }
    // Those that are not read hold no picture, are broken on purpose, or are packed or deep in a way that is named.
    assert!(read_files.len() >= 64, "{} read, {} refused", read_files.len(), refused.len());
    assert!(refused.values().all(|error| !error.to_string().is_empty()));
}
