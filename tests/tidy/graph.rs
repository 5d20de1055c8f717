//! The crate graph as law: which member may depend on which, and that the documents draw the same.

use crate::{
    manifest::{member_folders, members, root, workspace_folder},
    tree::{Findings, Tree},
};

/// What a crate may point at.
enum Arrows {
    /// Exactly these, or fewer.
    To(&'static [&'static str]),
    /// Any member: the tests and benches see everything.
    ToAny,
}

/// One crate of the drawing.
struct Room {
    name: &'static str,
    folder: &'static str,
    arrows: Arrows,
}

const fn room(name: &'static str, folder: &'static str, to: &'static [&'static str]) -> Room {
    Room { name, folder, arrows: Arrows::To(to) }
}

/// The drawn graph. A new arrow is a design change: a page in `docs/decisions`, `docs/architecture.md`, then here.
const DRAWN: [Room; 13] = [
    room("keys", "keys", &[]),
    room("crdt", "crdt", &["keys"]),
    room("inference", "inference", &[]),
    room("scenes", "scenes", &["crdt"]),
    room("client", "scenes/web", &[]),
    room("records", "node/records", &["keys"]),
    room("vitals", "node/vitals", &["records"]),
    room("study", "node/study", &["records", "keys"]),
    room("store", "node/store", &["keys"]),
    room("net", "node/net", &["keys"]),
    room(
        "node",
        "node",
        &["keys", "crdt", "inference", "scenes", "client", "records", "vitals", "study", "store", "net"],
    ),
    Room { name: "tests", folder: "tests", arrows: Arrows::ToAny },
    Room { name: "benches", folder: "benches", arrows: Arrows::ToAny },
];

const LAW: &str = "docs/architecture.md";

fn room_at(folder: &str) -> Option<&'static Room> {
    DRAWN.iter().find(|room| room.folder == folder)
}

/// Members and dependencies that the drawing does not have.
pub(crate) fn undrawn_arrows(tree: &Tree) -> Findings {
    let root = root(tree);
    let mut found = Vec::new();
    for member in members(tree) {
        let Some(from) = room_at(&member.folder) else {
            found.push(format!("{}: not a crate of the drawn graph ({LAW})", member.folder));
            continue;
        };
        for dependency in member.dependencies() {
            let Some(folder) = workspace_folder(&root, &dependency) else { continue };
            let allowed = match (&from.arrows, room_at(&folder)) {
                (Arrows::ToAny, Some(_)) => true,
                (Arrows::To(list), Some(to)) => list.contains(&to.name),
                (_, None) => false,
            };
            if !allowed {
                found.push(format!(
                    "{}/Cargo.toml: {}.{} is an arrow {} → {folder} that {LAW} does not draw",
                    member.folder, dependency.table, dependency.name, from.name
                ));
            }
        }
    }
    found
}

/// Members that the architecture page does not name by their folder.
pub(crate) fn members_missing_in_the_architecture(tree: &Tree) -> Findings {
    let page = tree.text(LAW).unwrap_or_default();
    let missing = member_folders(tree).into_iter().filter(|folder| !page.contains(&format!("`{folder}`")));
    missing.map(|folder| format!("{LAW}: does not name the member `{folder}`")).collect()
}

/// Lines of the page's graph that differ from the one tested here: page and test must say the same.
pub(crate) fn graph_differs_from_the_architecture(tree: &Tree) -> Findings {
    let page = tree.text(LAW).unwrap_or_default();
    let drawn = DRAWN.iter().map(|room| match room.arrows {
        Arrows::ToAny => format!("{} → any", room.name),
        Arrows::To([]) => format!("{} → none", room.name),
        Arrows::To(list) => format!("{} → {}", room.name, list.join(", ")),
    });
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    let missing = drawn.filter(|line| !lines.contains(&line.as_str()));
    missing.map(|line| format!("{LAW}: its graph lacks the line `{line}` that tests/tidy enforces")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"keys\", \"node/records\", \"node/store\", \"node\", \"tests\"]\n\
        [workspace.dependencies]\nkeys = { package = \"metaclinic-keys\", path = \"keys\" }\n\
        records = { path = \"node/records\" }\nstore = { path = \"node/store\" }\nserde = \"1\"\n\
        tests = { path = \"tests\" }\n";

    fn planted(folder: &str, manifest: &str) -> Findings {
        undrawn_arrows(&Tree::of(&[("Cargo.toml", ROOT), (&format!("{folder}/Cargo.toml"), manifest)]))
    }

    #[test]
    fn drawn_arrows_pass() {
        let check = |folder, manifest| assert_eq!(planted(folder, manifest), Findings::new());
        check("keys", "[dependencies]\nserde.workspace = true\n");
        check("node/records", "[dependencies]\nkeys.workspace = true\n");
        check("node", "[dependencies]\nstore.workspace = true\nrecords.workspace = true\n");
        check("tests", "[dev-dependencies]\nstore.workspace = true\n");
    }

    #[test]
    fn undrawn_arrows_are_found() {
        let check = |folder, manifest| assert_eq!(planted(folder, manifest).len(), 1, "{folder}: {manifest}");
        check("keys", "[dependencies]\nrecords.workspace = true\n");
        check("node/store", "[dependencies]\nrecords.workspace = true\n");
        check("node/records", "[dev-dependencies]\nstore.workspace = true\n");
        check("node/records", "[target.'cfg(unix)'.build-dependencies]\nstore.workspace = true\n");
        check("node/store", "[dependencies]\nother = { path = \"node/records\" }\n");
        check("node", "[dependencies]\ntests.workspace = true\n");
    }

    #[test]
    fn crate_outside_the_drawing_is_found() {
        let root = "[workspace]\nmembers = [\"common\"]\n";
        let tree = Tree::of(&[("Cargo.toml", root), ("common/Cargo.toml", "")]);
        assert_eq!(undrawn_arrows(&tree).len(), 1);
    }

    #[test]
    fn member_missing_in_the_architecture_is_found() {
        let page = "| `keys` | `node/records` | `node` | `tests` |";
        let tree = Tree::of(&[("Cargo.toml", ROOT), (LAW, page)]);
        assert_eq!(
            members_missing_in_the_architecture(&tree),
            [format!("{LAW}: does not name the member `node/store`")]
        );
    }

    #[test]
    fn changed_drawing_is_found() {
        let found =
            graph_differs_from_the_architecture(&Tree::of(&[(LAW, "keys → none\ncrdt → keys, store\n")]));
        assert_eq!(found.len(), DRAWN.len() - 1);
        assert!(found.iter().any(|line| line.contains("`crdt → keys`")));
    }
}
