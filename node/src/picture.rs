//! From an SVG picture of our own to a PNG that looks the same on every machine and prints to scale.
//!
//! The one face of the font is part of the program; fonts of the machine are never asked, and nothing that a
//! picture refers to is loaded. Drawing takes seconds of one core for a large picture and as much memory as seven
//! bytes a dot, so it belongs on a blocking thread.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Color, Pixmap, Transform},
    usvg::{self, ImageHrefResolver, Options, Tree, fontdb},
};

/// The font of every letter; the name that pictures ask for.
const FONT: &str = "DejaVu Sans";
/// No picture has more dots: an A3 page at 300 dots an inch has 17 million.
const MAX_DOTS: u64 = 40_000_000;
/// What a resolution may be: from a thumbnail to the finest printers (1,200 dots an inch).
const DOTS_PER_MM: std::ops::RangeInclusive<f32> = 0.5..=48.0;
/// One unit of a picture is a millimetre when an inch has this many.
const MM_PER_INCH: f32 = 25.4;

/// Why there is no PNG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PictureError {
    /// Not a picture, or one without a size.
    #[error("the picture cannot be read")]
    Svg(#[source] usvg::Error),
    /// No number, too coarse or too fine.
    #[error("a picture has between {} and {} dots a millimetre", DOTS_PER_MM.start(), DOTS_PER_MM.end())]
    Resolution,
    /// More dots than are drawn.
    #[error("a picture has at most {MAX_DOTS} dots, not {0}: ask for fewer a millimetre, or a shorter strip")]
    TooLarge(u64),
    /// The bytes of the PNG could not be written.
    #[error("the picture cannot be written as PNG")]
    Png(#[source] png::EncodingError),
}

/// Draws a picture whose size is given in millimetres, on white. The PNG says how large a dot is, so that a program
/// which minds it prints the picture at its size.
pub(crate) fn png(svg: &str, dots_per_mm: f32) -> Result<Vec<u8>, PictureError> {
    if !DOTS_PER_MM.contains(&dots_per_mm) {
        return Err(PictureError::Resolution);
    }
    let tree = Tree::from_str(svg, &options()).map_err(PictureError::Svg)?;
    let dots = |length_mm: f32| (length_mm * dots_per_mm).round();
    let (wide, high) = (dots(tree.size().width()), dots(tree.size().height()));
    let count = (wide as u64).saturating_mul(high as u64);
    if count > MAX_DOTS {
        return Err(PictureError::TooLarge(count));
    }
    let mut canvas = Pixmap::new(wide as u32, high as u32).ok_or(PictureError::TooLarge(count))?;
    canvas.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(dots_per_mm, dots_per_mm), &mut canvas.as_mut());
    encode(&canvas, dots_per_mm).map_err(PictureError::Png)
}

/// A millimetre a unit, our font for everything, and nothing loaded from outside.
fn options() -> Options<'static> {
    static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(dejavu::sans::regular())));
        fonts.set_sans_serif_family(FONT);
        fonts.set_serif_family(FONT);
        fonts.set_monospace_family(FONT);
        Arc::new(fonts)
    });
    Options {
        dpi: MM_PER_INCH,
        font_family: FONT.to_owned(),
        fontdb: FONTS.clone(),
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        ..Options::default()
    }
}

/// A picture that is given dot by dot: red, green, blue and opacity.
pub(crate) fn rgba_png(width: u32, height: u32, rgba: &[u8]) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(rgba)?;
        writer.finish()
    });
    written.map_err(PictureError::Png)?;
    Ok(bytes)
}

/// Three bytes a dot: what is drawn on white hides nothing.
fn encode(canvas: &Pixmap, dots_per_mm: f32) -> Result<Vec<u8>, png::EncodingError> {
    let per_metre = (f64::from(dots_per_mm) * 1_000.0).round() as u32;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, canvas.width(), canvas.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let colours: Vec<u8> = canvas.data().chunks_exact(4).flat_map(|dot| [dot[0], dot[1], dot[2]]).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use inference::ecg::{BeatClass, EcgSignal, Lead, Mark, SPEED_MM_PER_S, Strip};

    use super::*;

    struct Decoded {
        wide: u32,
        high: u32,
        dots_per_metre: Option<u32>,
        colours: Vec<u8>,
    }

    fn decode(bytes: &[u8]) -> Decoded {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut colours = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut colours).unwrap();
        let dims = reader.info().pixel_dims;
        assert!(dims.is_none_or(|dims| dims.xppu == dims.yppu && dims.unit == png::Unit::Meter));
        let dots_per_metre = dims.map(|dims| dims.xppu);
        Decoded { wide: frame.width, high: frame.height, dots_per_metre, colours }
    }

    impl Decoded {
        fn dark(&self, x: u32, y: u32) -> bool {
            let at = 3 * (y * self.wide + x) as usize;
            self.colours[at..at + 3].iter().all(|colour| *colour < 100)
        }
    }

    fn picture(inside: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40mm\" height=\"10mm\" viewBox=\"0 0 40 10\">{inside}</svg>"
        )
    }

    #[test]
    fn the_png_says_its_size() {
        let line = picture("<path d=\"M30 0V10\" stroke=\"#000\" stroke-width=\"0.5\"/>");
        let decoded = decode(&png(&line, 8.0).unwrap());
        assert_eq!((decoded.wide, decoded.high, decoded.dots_per_metre), (320, 80, Some(8_000)));
        assert!(decoded.dark(240, 40) && !decoded.dark(236, 40) && !decoded.dark(244, 40));
        assert_eq!(decode(&png(&line, 11.811).unwrap()).dots_per_metre, Some(11_811));
    }

    #[test]
    fn any_font_asked_for_is_ours() {
        let text = |family: &str| {
            picture(&format!("<text y=\"8\" font-size=\"8\" font-family=\"{family}\">gV1</text>"))
        };
        let expected = png(&text("DejaVu Sans"), 8.0).unwrap();
        assert_ne!(expected, png(&picture(""), 8.0).unwrap());
        for family in ["sans-serif", "serif", "Arial, sans-serif", "No Such Font"] {
            assert_eq!(png(&text(family), 8.0).unwrap(), expected, "{family}");
        }
    }

    #[test]
    fn nothing_is_loaded_from_outside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inner.svg");
        std::fs::write(&file, picture("<rect width=\"40\" height=\"10\"/>")).unwrap();
        let inner = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='9' height='9'%3E%3Crect \
                     width='9' height='9'/%3E%3C/svg%3E";
        for href in [file.to_str().unwrap(), inner] {
            let image = picture(&format!("<image width=\"40\" height=\"10\" href=\"{href}\"/>"));
            assert_eq!(png(&image, 4.0).unwrap(), png(&picture(""), 4.0).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for dots_per_mm in [0.0, -1.0, 0.49, 48.1, f32::NAN, f32::INFINITY] {
            assert!(matches!(png(&picture(""), dots_per_mm), Err(PictureError::Resolution)), "{dots_per_mm}");
        }
        assert!(matches!(png("<svg", 8.0), Err(PictureError::Svg(_))));
        let sized = |wide, high| {
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}mm\" height=\"{high}mm\"/>")
        };
        assert!(matches!(png(&sized(8_000, 5_001), 1.0), Err(PictureError::TooLarge(40_008_000))));
        assert!(matches!(png(&sized(2_000_000_000, 2_000_000_000), 48.0), Err(PictureError::TooLarge(_))));
        assert!(png(&sized(0, 10), 8.0).is_err());
    }

    #[test]
    fn a_strip_becomes_the_same_picture_each_time() {
        let mut samples_mv = vec![0.0; 3_000];
        (samples_mv[1_000], samples_mv[2_000]) = (1.0, 1.0);
        let lead = Lead { name: "V1</text>&<b>".to_owned(), samples_mv };
        let signal = EcgSignal::new(1_000.0, vec![lead]).unwrap();
        let marks = [Mark { sample: 1_000, class: BeatClass::Ventricular, probability: 0.9 }];
        let strip = Strip { marks: &marks, title: "Strip".to_owned(), ..Strip::new(&signal, 0..3_000) };
        let svg = strip.svg().unwrap();
        let bytes = png(&svg, 8.0).unwrap();
        assert_eq!(bytes, png(&svg, 8.0).unwrap());
        let decoded = decode(&bytes);
        // Below the words of the head there is a row of dots in which only the two peaks are dark.
        let dark_at = |y: u32| -> Vec<u32> { (165..decoded.wide).filter(|x| decoded.dark(*x, y)).collect() };
        let apart = (128..decoded.high).map(dark_at).find_map(|dark| match dark[..] {
            [first, .., last] if last - first > 150 && dark.len() < 20 => Some(last - first),
            _ => None,
        });
        let expected = (SPEED_MM_PER_S * 8.0) as u32;
        assert!(apart.unwrap().abs_diff(expected) <= 2, "{apart:?} dots for {expected}");
    }
}
