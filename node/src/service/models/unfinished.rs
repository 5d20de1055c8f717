//! A training that takes long and may be broken off: what is done lies in a folder beside its results until it ends.

use std::path::{Path, PathBuf};

use inference::sha256;
use serde::{Deserialize, Serialize};

use super::super::problem::{Problem, Tried};

/// Inside the folder for the results.
const FOLDER: &str = "unfinished";
/// Says which training it is.
const WHAT: &str = "training.toml";

/// Which training it is: another one never goes on from its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    pub(crate) model: String,
    pub(crate) seed: u64,
    /// SHA-256 over names and contents of the data.
    pub(crate) data: String,
    /// The program that began it.
    pub(crate) program: String,
}

impl Task {
    /// The training of a model by this program from the files of a folder.
    ///
    /// # Errors
    /// [`Problem`] when the folder cannot be read.
    pub(crate) fn of(model: &str, seed: u64, data: &Path) -> Result<Task, Problem> {
        let mut files = files_of(data)?;
        // A data set of several parts has a folder for each.
        for folder in files.extract_if(.., |path| path.is_dir()).collect::<Vec<_>>() {
            files.extend(files_of(&folder)?.into_iter().filter(|path| path.is_file()));
        }
        files.sort();
        let mut named = String::new();
        for file in &files {
            let name = file.strip_prefix(data).unwrap_or(file).to_string_lossy().into_owned();
            let hash = sha256(&std::fs::read(file).tried("read the data")?);
            named.push_str(&format!("{hash}  {name}\n"));
        }
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Task { model: model.to_owned(), seed, data: sha256(named.as_bytes()), program })
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = std::fs::read_dir(folder).tried("read the folder of the data")?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// The folder of one training.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// Opens the folder: to go on with what is there, or to begin anew.
    ///
    /// # Errors
    /// [`Problem`] when there is nothing to go on with, or it is of another training.
    pub(crate) fn open(out: &Path, task: &Task, resume: bool) -> Result<Unfinished, Problem> {
        let folder = out.join(FOLDER);
        let what = folder.join(WHAT);
        if resume {
            let text = std::fs::read_to_string(&what).map_err(|error| {
                Problem::failed(format!("no unfinished training lies in {}", out.display()))
                    .because(error)
                    .next("begin it without --resume")
            })?;
            if toml::from_str::<Task>(&text).ok().as_ref() != Some(task) {
                return Err(Problem::failed(
                    "the unfinished training is of another model, seed, data or program",
                )
                .next("begin anew without --resume"));
            }
            return Ok(Unfinished(folder));
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).tried("remove the steps of an older training")?;
        }
        std::fs::create_dir_all(&folder).tried("make the folder for the results")?;
        let text = toml::to_string(task).tried("write which training it is")?;
        std::fs::write(what, text).tried("write which training it is")?;
        Ok(Unfinished(folder))
    }

    /// What was saved under a name.
    pub(crate) fn load(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }

    /// Saves under a name: whole, or as it was before. A step that cannot be saved is learned again; the training goes on.
    pub(crate) fn save(&self, name: &str, bytes: &[u8]) {
        let half = self.0.join(format!("{name}.half"));
        let whole = std::fs::write(&half, bytes).and_then(|()| std::fs::rename(&half, self.0.join(name)));
        if let Err(error) = whole {
            tracing::warn!(%error, "a step of the training could not be saved");
        }
    }

    /// The training ended: its steps are needed no longer.
    pub(crate) fn remove(self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the steps of the training could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_training_goes_on() {
        let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(data.path().join("a"), "1").unwrap();
        let task = Task::of("m", 1, data.path()).unwrap();
        assert!(Unfinished::open(out.path(), &task, true).is_err());
        let first = Unfinished::open(out.path(), &task, false).unwrap();
        first.save("step", b"done");
        assert_eq!(Unfinished::open(out.path(), &task, true).unwrap().load("step").unwrap(), b"done");
        std::fs::write(data.path().join("a"), "2").unwrap();
        let other = Task::of("m", 1, data.path()).unwrap();
        assert!(Unfinished::open(out.path(), &other, true).is_err());
        assert!(Unfinished::open(out.path(), &Task { seed: 2, ..task.clone() }, true).is_err());
        assert!(Unfinished::open(out.path(), &task, false).unwrap().load("step").is_none());
        first.remove();
        assert!(!out.path().join(FOLDER).exists());
    }
}
