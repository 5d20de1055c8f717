//! Places and the things in them. Pure: the environments are compiled in, nothing is read or written.

mod annotation;
mod environment;
mod library;

pub use annotation::{AnnotationView, Nearest};
pub use environment::{Anchor, Environment, MAX_ANCHORS, MAX_ENVIRONMENT_BYTES, SceneError, Text};
pub use library::{environment, environments};
