//! Pictures that commands write: SVG as it is, or PNG.

use std::path::Path;

use crate::picture;
use crate::service::problem::{Problem, Tried};

/// Dots a millimetre of a PNG: 300 dots an inch.
const DOTS_PER_MM: f32 = 11.811;

/// What a file name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Svg,
    Png,
}

/// Whether a file name asks for SVG or PNG: asked before long work.
///
/// # Errors
/// [`Problem`] for any other ending.
pub(super) fn kind(file: &Path) -> Result<Kind, Problem> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("svg") => Ok(Kind::Svg),
        Some(ending) if ending.eq_ignore_ascii_case("png") => Ok(Kind::Png),
        _ => Err(Problem::wrong_use(format!("{} is neither .svg nor .png", file.display()))
            .next("pictures are written as .svg or .png, e.g. picture.png")),
    }
}

/// Writes a picture in the format that the file name asks for.
///
/// # Errors
/// [`Problem`] when it cannot be drawn or written.
pub(super) fn write(file: &Path, svg: &str) -> Result<(), Problem> {
    let bytes = match kind(file)? {
        Kind::Png => png(svg)?,
        Kind::Svg => svg.as_bytes().to_vec(),
    };
    std::fs::write(file, bytes).map_err(|error| {
        Problem::failed(format!("cannot write {}", file.display()))
            .because(error)
            .next("choose a folder that exists and is yours")
    })
}

/// A picture as PNG.
///
/// # Errors
/// [`Problem`] when it cannot be drawn.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, Problem> {
    picture::png(svg, DOTS_PER_MM).tried("draw the PNG")
}
