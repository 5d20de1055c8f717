//! One place: its size, and the named things in it that notes are pinned to.
//!
//! Metres, right-handed, Y up, −Z forward as in WebXR. The origin is the middle of the floor.

use std::collections::HashSet;

use crdt::{Pose, PoseError};
use serde::Deserialize;

/// The most bytes (UTF-8) of a file that describes an environment.
pub const MAX_ENVIRONMENT_BYTES: usize = 64 * 1024;
/// The most anchors an environment may have.
pub const MAX_ANCHORS: usize = 64;

/// The version of the file format.
const VERSION: u32 = 1;
/// The most bytes of a name: as many as a room's charter holds for its scene.
const MAX_NAME_BYTES: usize = 64;
/// The most bytes (UTF-8) of a text in one language.
const MAX_TEXT_BYTES: usize = 512;
/// Width, height and depth of a room, in metres: a person stands in the smallest, a hall fits the largest.
const MIN_SIDE_M: f32 = 2.0;
const MAX_SIDE_M: f32 = 100.0;
/// A half turn either way reaches every direction.
const MAX_YAW_DEG: f32 = 180.0;

/// A place that a room can be set in.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Kebab-case, such as `consulting-room`; at most 64 bytes.
    pub name: String,
    /// What people call it.
    pub title: Text,
    /// What it is for, in a sentence.
    pub description: Text,
    /// Width (X), height (Y) and depth (Z), in metres.
    pub size_m: [f32; 3],
    /// The things in it, names unique.
    pub anchors: Vec<Anchor>,
}

/// A thing in an environment, and the point of it where a note is pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchor {
    /// Kebab-case, such as `light-box`; the same thing has the same name in each environment.
    pub name: String,
    /// What people call it.
    pub title: Text,
    /// Where it is and where it faces: −Z of this pose is its front (out of a screen, ahead of a sitter, towards the
    /// foot of a couch, into the room at a door).
    pub pose: Pose,
}

/// A text in the languages of the program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}

impl Environment {
    /// Reads a description in TOML (see `library/consulting-room.toml`); fails on the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, SceneError> {
        if text.len() > MAX_ENVIRONMENT_BYTES {
            return Err(SceneError::TooLarge { bytes: text.len() });
        }
        let file: File = toml::from_str(text)?;
        if file.version != VERSION {
            return Err(SceneError::Version(file.version));
        }
        check_name("the environment", &file.name)?;
        check_text(&file.name, &file.title)?;
        check_text(&file.name, &file.description)?;
        if !file.size_m.iter().all(|side| (MIN_SIDE_M..=MAX_SIDE_M).contains(side)) {
            return Err(SceneError::Size(file.size_m));
        }
        if file.anchor.is_empty() || file.anchor.len() > MAX_ANCHORS {
            return Err(SceneError::AnchorCount(file.anchor.len()));
        }
        let mut names = HashSet::new();
        let mut environment = Self {
            name: file.name,
            title: file.title,
            description: file.description,
            size_m: file.size_m,
            anchors: Vec::with_capacity(file.anchor.len()),
        };
        for (number, entry) in (1..).zip(file.anchor) {
            check_name(&format!("anchor {number}"), &entry.name)?;
            if !names.insert(entry.name.clone()) {
                return Err(SceneError::Repeated { anchor: entry.name });
            }
            let anchor = entry.anchor()?;
            if !environment.contains(anchor.pose.position_m) {
                return Err(SceneError::Outside { anchor: anchor.name });
            }
            environment.anchors.push(anchor);
        }
        Ok(environment)
    }

    /// The anchor of this name.
    pub fn anchor(&self, name: &str) -> Option<&Anchor> {
        self.anchors.iter().find(|anchor| anchor.name == name)
    }

    /// Whether a position, in metres, lies between the walls, the floor and the ceiling (or on one of them).
    pub fn contains(&self, position_m: [f32; 3]) -> bool {
        let [x, y, z] = position_m;
        let [width, height, depth] = self.size_m;
        x.abs() <= width / 2.0 && (0.0..=height).contains(&y) && z.abs() <= depth / 2.0
    }

    /// The anchor nearest to a position, and its distance, both in metres; of equally near ones the first.
    /// `None` if a coordinate is not a number.
    pub fn nearest(&self, position_m: [f32; 3]) -> Option<(&Anchor, f32)> {
        if position_m.iter().any(|c| !c.is_finite()) {
            return None;
        }
        let measured = self.anchors.iter().map(|a| (a, a.pose.distance_m(&Pose { position_m, ..a.pose })));
        measured.min_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

/// A file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    name: String,
    title: Text,
    description: Text,
    size_m: [f32; 3],
    #[serde(default)]
    anchor: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: Text,
    position_m: [f32; 3],
    yaw_deg: f32,
}

impl Entry {
    fn anchor(self) -> Result<Anchor, SceneError> {
        check_text(&self.name, &self.title)?;
        if !(-MAX_YAW_DEG..=MAX_YAW_DEG).contains(&self.yaw_deg) {
            return Err(SceneError::Yaw { anchor: self.name, yaw_deg: self.yaw_deg });
        }
        let [x, y, z] = self.position_m;
        let mut pose =
            Pose::at(x, y, z).map_err(|source| SceneError::Pose { anchor: self.name.clone(), source })?;
        let (sin, cos) = (self.yaw_deg.to_radians() / 2.0).sin_cos();
        pose.orientation = [0.0, sin, 0.0, cos]; // about Y: x, y, z, w
        Ok(Anchor { name: self.name, title: self.title, pose })
    }
}

fn check_name(of: &str, name: &str) -> Result<(), SceneError> {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let good = name.len() <= MAX_NAME_BYTES && name.split('-').all(part);
    if good { Ok(()) } else { Err(SceneError::Name { of: of.to_owned() }) }
}

fn check_text(of: &str, text: &Text) -> Result<(), SceneError> {
    for (language, text) in [("en", &text.en), ("zh", &text.zh)] {
        if text.trim().is_empty() || text.len() > MAX_TEXT_BYTES {
            return Err(SceneError::Text { of: of.to_owned(), language });
        }
    }
    Ok(())
}

/// Why a file does not describe an environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// Longer than [`MAX_ENVIRONMENT_BYTES`].
    #[error("an environment may have {MAX_ENVIRONMENT_BYTES} bytes, this has {bytes}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Not TOML, or not these fields.
    #[error("not the description of an environment")]
    Syntax(#[from] toml::de::Error),
    /// Written for another program.
    #[error("environment format {0} is not known here, only {VERSION}")]
    Version(u32),
    /// A name that is not kebab-case.
    #[error("the name of {of} is not of lower-case words joined by '-', {MAX_NAME_BYTES} bytes at most")]
    Name {
        /// Whose name.
        of: String,
    },
    /// A text that is missing or too long in one language.
    #[error("{of} needs a text in '{language}', {MAX_TEXT_BYTES} bytes at most")]
    Text {
        /// The environment or anchor.
        of: String,
        /// `en` or `zh`.
        language: &'static str,
    },
    /// A size that no room has.
    #[error("a room measures {MIN_SIDE_M} to {MAX_SIDE_M} m a side, not {0:?}")]
    Size([f32; 3]),
    /// No anchor, or more than [`MAX_ANCHORS`].
    #[error("an environment has 1 to {MAX_ANCHORS} anchors, not {0}")]
    AnchorCount(usize),
    /// Two anchors of one name.
    #[error("anchor {anchor} is there twice")]
    Repeated {
        /// Its name.
        anchor: String,
    },
    /// An anchor outside the walls.
    #[error("anchor {anchor} lies outside the room")]
    Outside {
        /// Its name.
        anchor: String,
    },
    /// An anchor whose position is no position.
    #[error("anchor {anchor} has no usable position")]
    Pose {
        /// Its name.
        anchor: String,
        /// What is wrong with it.
        #[source]
        source: PoseError,
    },
    /// An angle beyond a half turn.
    #[error("anchor {anchor} is turned by {yaw_deg} degrees, not -{MAX_YAW_DEG} to {MAX_YAW_DEG}")]
    Yaw {
        /// Its name.
        anchor: String,
        /// The angle, in degrees.
        yaw_deg: f32,
    },
}

#[cfg(test)]
mod tests;
