//! MedQuAD out of its archive: XML files in a tar (POSIX ustar), packed by xz.

use std::fs;
use std::path::PathBuf;

use metaclinic_inference::text::corpus::{Document, read_medquad};

const BLOCK: usize = 512;

/// All documents in the order of their names; `None` if the environment names no folder with them.
pub(crate) fn documents() -> Option<Vec<Document>> {
    let archive = PathBuf::from(std::env::var_os("METACLINIC_DATA")?).join("medquad/medquad.tar.xz");
    let packed = fs::read(archive).ok()?;
    let mut tar = Vec::new();
    lzma_rs::xz_decompress(&mut &packed[..], &mut tar).unwrap();
    let mut files = files(&tar);
    files.sort();
    let read = |(name, xml): (String, &[u8])| {
        let reading = read_medquad(&name, xml);
        assert!(reading.faults.is_empty(), "{:?}", reading.faults);
        reading.document
    };
    Some(files.into_iter().filter_map(read).collect())
}

fn files(tar: &[u8]) -> Vec<(String, &[u8])> {
    let (mut files, mut at) = (Vec::new(), 0);
    while let Some(header) = tar.get(at..at + BLOCK).filter(|header| header[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range]).trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        let name = text(0..100);
        if name.ends_with(".xml") {
            files.push((name, &tar[at + BLOCK..at + BLOCK + size]));
        }
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    files
}
