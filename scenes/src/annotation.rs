//! Where the annotations of a room are, told by the things around them.

use crdt::{EntryId, RoomView};

use crate::environment::{Anchor, Environment};
use crate::library::environment;

/// The place of one annotation in words: what it is near to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnnotationView {
    /// Which annotation.
    pub id: EntryId,
    /// The nearest thing; `None` if the room's scene is not known to this program.
    pub nearest: Option<Nearest>,
    /// Whether it lies between the walls; `true` if the scene is not known.
    pub inside: bool,
}

/// A thing and how far away it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The thing.
    pub anchor: &'static Anchor,
    /// Distance to its point, in metres.
    pub distance_m: f32,
}

impl AnnotationView {
    /// All annotations of a room, in the order of its view.
    pub fn of_room(room: &RoomView) -> Vec<Self> {
        let scene = environment(&room.scene);
        room.annotations.iter().map(|a| Self::in_scene(scene, a.id, a.pose.value.position_m)).collect()
    }

    fn in_scene(scene: Option<&'static Environment>, id: EntryId, position_m: [f32; 3]) -> Self {
        let nearest = scene.and_then(|scene| scene.nearest(position_m));
        Self {
            id,
            nearest: nearest.map(|(anchor, distance_m)| Nearest { anchor, distance_m }),
            inside: scene.is_none_or(|scene| scene.contains(position_m)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(scene: &str, position_m: [f32; 3]) -> AnnotationView {
        AnnotationView::in_scene(environment(scene), EntryId::from_bytes([1; 16]), position_m)
    }

    #[test]
    fn annotation_at_an_anchor_is_told_by_it() {
        let couch = environment("consulting-room").unwrap().anchor("bed").unwrap();
        let view = seen("consulting-room", couch.pose.position_m);
        assert_eq!(view.nearest, Some(Nearest { anchor: couch, distance_m: 0.0 }));
        assert!(view.inside);
    }

    #[test]
    fn annotation_beyond_the_walls_is_told_so() {
        let view = seen("consulting-room", [1.3, 1.05, 2.9]);
        let nearest = view.nearest.unwrap();
        assert_eq!(nearest.anchor.name, "door");
        assert!((nearest.distance_m - 1.0).abs() < 1e-5 && !view.inside);
    }

    #[test]
    fn unknown_scene_has_neither_walls_nor_things() {
        let view = seen("space-station", [900.0, -3.0, 0.0]);
        assert!(view.nearest.is_none() && view.inside);
    }
}
