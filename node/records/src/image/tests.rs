//! Pictures of every kind, made here and then spoiled.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Luma, Rgb, Rgba};

use super::*;

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// A grey ramp from left to right, brighter below.
fn ramp(width: u32, height: u32) -> DynamicImage {
    image::ImageBuffer::from_fn(width, height, |x, y| Luma([(x * 4 + y * 2) as u8])).into()
}

#[test]
fn a_grey_png_is_read_as_it_is() {
    let read = read(&encode(&ramp(40, 30), ImageFormat::Png)).unwrap();
    assert_eq!((read.width, read.height, read.format, read.colour), (40, 30, SourceFormat::Png, false));
    assert_eq!(read.luminance[0], 0.0);
    assert_eq!(read.luminance[29 * 40 + 39], (39 * 4 + 29 * 2) as f32 / 255.0);
    assert_eq!(format!("{read:?}"), "ImageRead(40 × 30, PNG)");
}

#[test]
fn sixteen_bits_keep_their_steps() {
    let picture: DynamicImage =
        image::ImageBuffer::from_fn(32, 32, |x, y| Luma([(x * 32 + y) as u16 + 30_000])).into();
    let read = read(&encode(&picture, ImageFormat::Png)).unwrap();
    assert!((read.luminance[1] - 30_032.0 / 65_535.0).abs() < 1e-6);
}

#[test]
fn a_grey_jpeg_is_read_and_a_coloured_one_is_called_coloured() {
    let grey = read(&encode(&ramp(40, 30), ImageFormat::Jpeg)).unwrap();
    assert_eq!((grey.width, grey.height, grey.format, grey.colour), (40, 30, SourceFormat::Jpeg, false));
    let coloured: DynamicImage =
        image::ImageBuffer::from_fn(40, 30, |x, _| Rgb([200, (x * 6) as u8, 30])).into();
    assert!(read(&encode(&coloured, ImageFormat::Jpeg)).unwrap().colour);
    let almost: DynamicImage = image::ImageBuffer::from_fn(40, 30, |x, _| {
        let grey = (x * 6) as u8;
        Rgb([grey, grey.saturating_add(8), grey])
    })
    .into();
    assert!(!read(&encode(&almost, ImageFormat::Png)).unwrap().colour);
}

#[test]
fn what_is_transparent_is_black() {
    let picture: DynamicImage =
        image::ImageBuffer::from_fn(30, 30, |x, _| Rgba([200u8, 200, 200, if x < 15 { 0 } else { 255 }]))
            .into();
    let read = read(&encode(&picture, ImageFormat::Png)).unwrap();
    assert_eq!(read.luminance[0], 0.0);
    assert!((read.luminance[20] - 200.0 / 255.0).abs() < 1e-6);
}

/// An EXIF segment that says only how the camera was held (TIFF 6.0, tag 0x0112), put behind the start of a JPEG.
fn held(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn a_camera_held_sideways_is_minded() {
    let jpeg = encode(&ramp(40, 30), ImageFormat::Jpeg);
    let upright = read(&jpeg).unwrap();
    let turned = read(&held(&jpeg, 6)).unwrap();
    assert_eq!((turned.width, turned.height), (30, 40));
    // Turned to the right: what was the lower left corner is now the upper left one.
    assert!((turned.luminance[0] - upright.luminance[29 * 40]).abs() < 0.02);
    let half = read(&held(&jpeg, 3)).unwrap();
    assert!((half.luminance[0] - upright.luminance[29 * 40 + 39]).abs() < 0.02);
}

#[test]
fn pictures_that_claim_too_much_are_refused_before_memory_is_taken() {
    let mut png = encode(&ramp(40, 30), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65,536 × 65,536
    assert!(matches!(read(&png), Err(ImageError::Size | ImageError::Malformed(_))));
    let mut jpeg = encode(&ramp(40, 30), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(read(&jpeg), Err(ImageError::Size));
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    assert_eq!(read(b""), Err(ImageError::Unknown));
    assert_eq!(read(b"GIF89a"), Err(ImageError::Unknown));
    let dicom = Dicom::default().bytes();
    for file in [encode(&ramp(40, 30), ImageFormat::Png), encode(&ramp(40, 30), ImageFormat::Jpeg), dicom] {
        for cut in (0..file.len()).step_by(7) {
            if let Ok(image) = read(&file[..cut]) {
                assert_eq!(image.luminance.len(), image.width * image.height);
            }
        }
        for at in 0..file.len().min(600) {
            let mut changed = file.clone();
            changed[at] ^= 0x81;
            if let Ok(image) = read(&changed) {
                assert!(image.luminance.iter().all(|value| (0.0..=1.0).contains(value)));
            }
        }
    }
}

/// A DICOM file with one frame, explicit, little endian.
struct Dicom {
    syntax: &'static str,
    photometric: &'static str,
    bits: [u16; 3],
    signed: bool,
    rows: u16,
    columns: u16,
    samples: Vec<u16>,
    more: Vec<(u16, u16, &'static [u8], Vec<u8>)>,
}

impl Default for Dicom {
    /// A chest of 32 × 40 pixels with twelve bits, rising from 100.
    fn default() -> Dicom {
        Dicom {
            syntax: "1.2.840.10008.1.2.1",
            photometric: "MONOCHROME2",
            bits: [16, 12, 11],
            signed: false,
            rows: 32,
            columns: 40,
            samples: (0..32 * 40).map(|at| 100 + at).collect(),
            more: Vec::new(),
        }
    }
}

impl Dicom {
    fn element(bytes: &mut Vec<u8>, group: u16, element: u16, kind: &[u8], value: &[u8]) {
        bytes.extend(group.to_le_bytes());
        bytes.extend(element.to_le_bytes());
        bytes.extend(kind);
        if [b"OW".as_slice(), b"SQ", b"OB"].contains(&kind) {
            bytes.extend([0, 0]);
            bytes.extend((value.len() as u32).to_le_bytes());
        } else {
            bytes.extend((value.len() as u16).to_le_bytes());
        }
        bytes.extend(value);
    }

    fn even(text: &str, filler: u8) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        if !bytes.len().is_multiple_of(2) {
            bytes.push(filler);
        }
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        Dicom::element(&mut meta, 2, 0x02, b"UI", &Dicom::even("1.2.840.10008.5.1.4.1.1.1", 0));
        Dicom::element(&mut meta, 2, 0x03, b"UI", &Dicom::even("1.2.3", 0));
        Dicom::element(&mut meta, 2, 0x10, b"UI", &Dicom::even(self.syntax, 0));
        Dicom::element(&mut meta, 2, 0x12, b"UI", &Dicom::even("1.2.3.4", 0));
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        Dicom::element(&mut file, 2, 0, b"UL", &(meta.len() as u32).to_le_bytes());
        file.extend(meta);
        let word = |value: u16| value.to_le_bytes().to_vec();
        let samples = if self.photometric == "RGB" { 3 } else { 1 };
        let mut elements: Vec<(u16, u16, &[u8], Vec<u8>)> = vec![
            (0x0008, 0x0060, b"CS", Dicom::even("DX", b' ')),
            (0x0010, 0x0010, b"PN", Dicom::even("Nobody^Known", b' ')),
            (0x0018, 0x0015, b"CS", Dicom::even("CHEST", b' ')),
            (0x0018, 0x5101, b"CS", Dicom::even("PA", b' ')),
            (0x0028, 0x0002, b"US", word(samples)),
            (0x0028, 0x0004, b"CS", Dicom::even(self.photometric, b' ')),
            (0x0028, 0x0010, b"US", word(self.rows)),
            (0x0028, 0x0011, b"US", word(self.columns)),
            (0x0028, 0x0100, b"US", word(self.bits[0])),
            (0x0028, 0x0101, b"US", word(self.bits[1])),
            (0x0028, 0x0102, b"US", word(self.bits[2])),
            (0x0028, 0x0103, b"US", word(u16::from(self.signed))),
        ];
        elements.extend(self.more.clone());
        elements.sort_by_key(|(group, element, ..)| (*group, *element));
        for (group, element, kind, value) in elements {
            Dicom::element(&mut file, group, element, kind, &value);
        }
        let pixels: Vec<u8> = match self.bits[0] {
            8 => self.samples.iter().map(|value| *value as u8).collect(),
            _ => self.samples.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        Dicom::element(&mut file, 0x7fe0, 0x0010, b"OW", &pixels);
        file
    }

    fn with(mut self, element: u16, kind: &'static [u8], value: &str) -> Dicom {
        self.more.push((0x0028, element, kind, Dicom::even(value, b' ')));
        self
    }

    fn read(&self) -> Result<ImageRead, ImageError> {
        read(&self.bytes())
    }
}

#[track_caller]
fn close(value: f32, expected: f32) {
    assert!((value - expected).abs() < 1e-4, "{value}, not {expected}");
}

#[test]
fn a_dicom_radiograph_is_read_without_its_person() {
    let read = Dicom::default().read().unwrap();
    assert_eq!((read.width, read.height, read.frames, read.format), (40, 32, 1, SourceFormat::Dicom));
    assert_eq!(read.modality.as_deref(), Some("DX"));
    assert_eq!(read.body_part.as_deref(), Some("CHEST"));
    assert_eq!(read.view.as_deref(), Some("PA"));
    close(read.luminance[0], 0.0);
    close(read.luminance[1], 1.0 / 1_279.0);
    close(read.luminance[1_279], 1.0);
    assert!(!format!("{read:?}").contains("Nobody"));
}

#[test]
fn negatives_are_turned() {
    let read = Dicom { photometric: "MONOCHROME1", ..Dicom::default() }.read().unwrap();
    close(read.luminance[0], 1.0);
    close(read.luminance[1_279], 0.0);
}

#[test]
fn window_rescale_and_padding_are_minded() {
    // 100 + 500 = 600 is the middle of the window once 2 x − 1,000 is done.
    let windowed = Dicom::default()
        .with(0x1050, b"DS", "200")
        .with(0x1051, b"DS", "101")
        .with(0x1052, b"DS", "-1000")
        .with(0x1053, b"DS", "2");
    let read = windowed.read().unwrap();
    close(read.luminance[500], (200.0 - 199.5) / 100.0 + 0.5);
    close(read.luminance[400], 0.0);
    close(read.luminance[600], 1.0);
    let mut padded = Dicom::default();
    padded.samples[7] = 4_000;
    padded.more.push((0x0028, 0x0120, b"US", 4_000u16.to_le_bytes().to_vec()));
    close(padded.read().unwrap().luminance[1_279], 1.0);
    close(padded.read().unwrap().luminance[7], 1.0);
}

#[test]
fn signed_and_shifted_samples_are_numbers() {
    let signed = Dicom {
        signed: true,
        samples: (0..1_280i16).map(|at| ((at - 640) & 0x0fff) as u16).collect(),
        ..Dicom::default()
    };
    let read = signed.read().unwrap();
    close(read.luminance[0], 0.0);
    close(read.luminance[640], 640.0 / 1_279.0);
    let high = Dicom {
        bits: [16, 8, 15],
        samples: (0..1_280).map(|at| (at % 256) << 8).collect(),
        ..Dicom::default()
    };
    close(high.read().unwrap().luminance[255], 1.0);
}

#[test]
fn a_table_of_grey_values_is_used() {
    let mut item = Vec::new();
    let table: Vec<u8> = [0u16, 255, 0, 255].iter().flat_map(|value| value.to_le_bytes()).collect();
    let descriptor: Vec<u8> = [4u16, 100, 8].iter().flat_map(|value| value.to_le_bytes()).collect();
    Dicom::element(&mut item, 0x0028, 0x3002, b"US", &descriptor);
    Dicom::element(&mut item, 0x0028, 0x3006, b"US", &table);
    let mut sequence = vec![0xfe, 0xff, 0x00, 0xe0];
    sequence.extend((item.len() as u32).to_le_bytes());
    sequence.extend(item);
    let mut file = Dicom::default();
    file.more.push((0x0028, 0x3010, b"SQ", sequence));
    let read = file.read().unwrap();
    assert_eq!(read.luminance[..5], [0.0, 1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn coloured_dicom_is_called_coloured() {
    let samples = (0..32 * 40).flat_map(|at| [at % 256, 0, 255 - at % 256]).collect();
    let read = Dicom { photometric: "RGB", bits: [8, 8, 7], samples, ..Dicom::default() }.read().unwrap();
    assert!(read.colour);
    close(read.luminance[0], 0.114);
}

#[test]
fn dicom_that_lies_about_itself_is_refused() {
    let malformed = Err(ImageError::Malformed(SourceFormat::Dicom));
    assert_eq!(Dicom { rows: 33, ..Dicom::default() }.read(), malformed);
    assert_eq!(Dicom { rows: 0, ..Dicom::default() }.read(), Err(ImageError::Size));
    assert_eq!(Dicom { rows: 65_535, columns: 65_535, ..Dicom::default() }.read(), Err(ImageError::Size));
    assert_eq!(Dicom { bits: [16, 17, 16], ..Dicom::default() }.read(), malformed);
    assert_eq!(Dicom { bits: [16, 12, 10], ..Dicom::default() }.read(), malformed);
    assert!(matches!(
        Dicom { photometric: "PALETTE COLOR", ..Dicom::default() }.read(),
        Err(ImageError::Unsupported(_))
    ));
    assert!(matches!(
        Dicom { syntax: "1.2.3.4.5", ..Dicom::default() }.read(),
        Err(ImageError::Unsupported(_))
    ));
    assert!(matches!(
        Dicom { syntax: "1.2.840.10008.1.2.1.99", ..Dicom::default() }.read(),
        Err(ImageError::Unsupported(_))
    ));
    // A value that claims four gigabytes.
    let mut bytes = Dicom::default().bytes();
    let pixels = bytes.windows(6).position(|start| start == [0xe0, 0x7f, 0x10, 0, b'O', b'W']).unwrap();
    bytes[pixels + 8..pixels + 12].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(read(&bytes), malformed);
}

#[test]
fn sequences_without_end_are_refused() {
    let mut file = Dicom { samples: Vec::new(), ..Dicom::default() };
    let mut nested = Vec::new();
    for _ in 0..2_000 {
        nested.extend([0x08, 0x00, 0x15, 0x11, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        nested.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    file.more.clear();
    let mut bytes = file.bytes();
    let start = bytes.windows(4).position(|start| start == [0x28, 0, 0x02, 0]).unwrap();
    bytes.truncate(start);
    bytes.extend(nested);
    assert_eq!(read(&bytes), Err(ImageError::Malformed(SourceFormat::Dicom)));
}

#[test]
fn a_dicom_file_without_a_picture_says_so() {
    let mut bytes = Dicom::default().bytes();
    let pixels = bytes.windows(4).position(|start| start == [0xe0, 0x7f, 0x10, 0]).unwrap();
    bytes.truncate(pixels);
    assert_eq!(read(&bytes), Err(ImageError::NoPicture));
}
