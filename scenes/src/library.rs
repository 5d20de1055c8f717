//! The environments that come with the program, as data files beside this source.

use std::sync::LazyLock;

use crate::environment::Environment;

/// The data files, in the order in which they are offered.
const FILES: [&str; 3] = [
    include_str!("../library/consulting-room.toml"),
    include_str!("../library/operating-room.toml"),
    include_str!("../library/rehab-room.toml"),
];

static ENVIRONMENTS: LazyLock<Vec<Environment>> = LazyLock::new(|| {
    let parse = |text| Environment::parse(text).expect("a test parses each file of the library");
    FILES.into_iter().map(parse).collect()
});

/// All environments, the consulting room first.
pub fn environments() -> &'static [Environment] {
    &ENVIRONMENTS
}

/// The environment of this name, such as `consulting-room`. A room may name one that only a newer program knows.
pub fn environment(name: &str) -> Option<&'static Environment> {
    environments().iter().find(|environment| environment.name == name)
}

#[cfg(test)]
mod tests;
