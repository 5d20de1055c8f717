//! Manifests: which packages there are, what they depend on, and the rules of a member's manifest.

use toml::{Table, Value};

use crate::tree::{Findings, Tree};

/// One package of the workspace.
pub(crate) struct Member {
    /// Folder from the root, such as `node/store`.
    pub(crate) folder: String,
    pub(crate) manifest: Table,
}

/// One dependency of a package.
pub(crate) struct Dependency {
    /// The table it stands in, such as `dev-dependencies`.
    pub(crate) table: String,
    /// The name that the code uses.
    pub(crate) name: String,
    pub(crate) value: Value,
}

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// The root manifest; empty if there is none.
pub(crate) fn root(tree: &Tree) -> Table {
    tree.text("Cargo.toml").and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// All members that the root names and whose manifest can be read.
pub(crate) fn members(tree: &Tree) -> Vec<Member> {
    member_folders(tree)
        .into_iter()
        .filter_map(|folder| {
            let manifest = tree.text(&format!("{folder}/Cargo.toml"))?.parse().ok()?;
            Some(Member { folder, manifest })
        })
        .collect()
}

/// The folders that the root manifest lists as members.
pub(crate) fn member_folders(tree: &Tree) -> Vec<String> {
    listed(tree, "members")
}

fn listed(tree: &Tree, list: &str) -> Vec<String> {
    let root = root(tree);
    let list = root.get("workspace").and_then(|w| w.get(list)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|folder| folder.as_str().map(str::to_owned)).collect()
}

impl Member {
    /// Every dependency of every kind, those of single platforms too.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let mut found = dependencies_in(&self.manifest, "");
        let platforms = self.manifest.get("target").and_then(Value::as_table);
        for (platform, tables) in platforms.into_iter().flatten() {
            if let Some(tables) = tables.as_table() {
                found.extend(dependencies_in(tables, &format!("target.{platform}.")));
            }
        }
        found
    }
}

fn dependencies_in(tables: &Table, prefix: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    for kind in KINDS {
        for (name, value) in tables.get(kind).and_then(Value::as_table).into_iter().flatten() {
            found.push(Dependency {
                table: format!("{prefix}{kind}"),
                name: name.clone(),
                value: value.clone(),
            });
        }
    }
    found
}

/// The folder of the member that a dependency points at, if it points into the workspace.
pub(crate) fn workspace_folder(root: &Table, dependency: &Dependency) -> Option<String> {
    let own_path = dependency.value.get("path").and_then(Value::as_str);
    let shared = root.get("workspace")?.get("dependencies")?.get(&dependency.name);
    let path = own_path.or_else(|| shared?.get("path")?.as_str())?;
    Some(path.trim_start_matches("./").trim_end_matches('/').to_owned())
}

/// The package name behind a dependency: the workspace table may rename it.
pub(crate) fn package_name(root: &Table, dependency: &Dependency) -> String {
    let shared =
        || root.get("workspace")?.get("dependencies")?.get(&dependency.name)?.get("package")?.as_str();
    dependency
        .value
        .get("package")
        .and_then(Value::as_str)
        .or_else(shared)
        .unwrap_or(&dependency.name)
        .to_owned()
}

/// Members without a readable manifest.
pub(crate) fn unreadable_manifests(tree: &Tree) -> Findings {
    let known: Vec<String> = members(tree).into_iter().map(|m| m.folder).collect();
    let missing = member_folders(tree).into_iter().filter(|folder| !known.contains(folder));
    missing.map(|folder| format!("{folder}/Cargo.toml: is missing or is not TOML")).collect()
}

/// Manifests outside the list of members: they would escape every other rule.
pub(crate) fn stray_manifests(tree: &Tree) -> Findings {
    let folders = member_folders(tree);
    let manifests = tree.files().filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    // What is excluded is built by itself, when somebody asks for it.
    let excluded = listed(tree, "exclude");
    let stray = manifests.filter(|folder| !folders.iter().chain(&excluded).any(|f| f == folder));
    stray.map(|folder| format!("{folder}/Cargo.toml: not a member; list it in the root Cargo.toml")).collect()
}

/// Versions live in the workspace table only: a member says `workspace = true`.
pub(crate) fn versions_outside_the_workspace_table(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for member in members(tree) {
        for dependency in member.dependencies() {
            let inherits = dependency.value.get("workspace").and_then(Value::as_bool) == Some(true);
            let own = ["version", "path", "git", "registry", "package"]
                .iter()
                .any(|key| dependency.value.get(key).is_some());
            if !inherits || own {
                found.push(format!(
                    "{}/Cargo.toml: {}.{} must say `workspace = true`; put version and reason into the workspace table",
                    member.folder, dependency.table, dependency.name
                ));
            }
        }
        for key in ["version", "edition", "rust-version", "license"] {
            let value = member.manifest.get("package").and_then(|p| p.get(key));
            if value.and_then(|v| v.get("workspace")).and_then(Value::as_bool) != Some(true) {
                found.push(format!(
                    "{}/Cargo.toml: package.{key} must say `{key}.workspace = true`",
                    member.folder
                ));
            }
        }
    }
    found
}

/// Every member takes the workspace's lint table.
pub(crate) fn members_without_lints(tree: &Tree) -> Findings {
    let without = members(tree).into_iter().filter(|member| {
        let inherits = member.manifest.get("lints").and_then(|l| l.get("workspace")).and_then(Value::as_bool);
        inherits != Some(true)
    });
    without
        .map(|member| format!("{}/Cargo.toml: add `[lints]` with `workspace = true`", member.folder))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"keys\"]\n[workspace.dependencies]\nserde = \"1\"\n";
    const GOOD: &str = "[package]\nname = \"metaclinic-keys\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n[dependencies]\n";

    fn planted(extra: &str) -> Tree {
        Tree::of(&[("Cargo.toml", ROOT), ("keys/Cargo.toml", &format!("{GOOD}{extra}"))])
    }

    #[test]
    fn inherited_versions_pass() {
        let tree =
            planted("serde.workspace = true\nserde_json = { workspace = true, features = [\"std\"] }\n");
        assert!(versions_outside_the_workspace_table(&tree).is_empty());
        assert!(members_without_lints(&tree).is_empty());
        assert!(unreadable_manifests(&tree).is_empty());
        assert!(stray_manifests(&tree).is_empty());
    }

    #[test]
    fn own_versions_are_found_in_every_table() {
        let check = |extra: &str| {
            let found = versions_outside_the_workspace_table(&planted(extra));
            assert_eq!(found.len(), 1, "{extra}: {found:?}");
        };
        check("serde = \"1\"\n");
        check("serde = { version = \"1\" }\n");
        check("serde = { git = \"https://example.org/serde\" }\n");
        check("[dev-dependencies]\nserde = \"1\"\n");
        check("[build-dependencies]\nserde = \"1\"\n");
        check("[target.'cfg(unix)'.dependencies]\nserde = \"1\"\n");
    }

    #[test]
    fn own_package_version_is_found() {
        let manifest = GOOD.replace("version.workspace = true\nedition", "version = \"2.0.0\"\nedition");
        let tree = Tree::of(&[("Cargo.toml", ROOT), ("keys/Cargo.toml", &manifest)]);
        assert_eq!(versions_outside_the_workspace_table(&tree).len(), 1);
    }

    #[test]
    fn missing_lints_are_found() {
        let manifest = GOOD.replace("[lints]\nworkspace = true\n", "");
        let tree = Tree::of(&[("Cargo.toml", ROOT), ("keys/Cargo.toml", &manifest)]);
        assert_eq!(members_without_lints(&tree).len(), 1);
    }

    #[test]
    fn unreadable_and_stray_manifests_are_found() {
        let broken = Tree::of(&[("Cargo.toml", ROOT), ("keys/Cargo.toml", "[package")]);
        assert_eq!(unreadable_manifests(&broken).len(), 1);
        let stray = Tree::of(&[("Cargo.toml", ROOT), ("keys/Cargo.toml", GOOD), ("extra/Cargo.toml", GOOD)]);
        assert_eq!(stray_manifests(&stray).len(), 1);
    }
}
