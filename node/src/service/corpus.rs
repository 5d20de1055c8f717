//! Texts that health questions are answered from: installed by the user, kept in a folder of this user, public texts and
//! nothing of a patient. Answers quote them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use inference::Backend;
use inference::text::corpus::{Corpus, Document, Fault, Reading, read_markdown, read_medquad};
use inference::text::{Embedding, SentenceEncoder};

use super::models::{Progress, fetched};
use super::problem::{Problem, Tried};
use super::vectors;

/// The most files of one corpus, and how deep folders are walked.
const MAX_FILES: usize = 200_000;
const MAX_DEPTH: usize = 16;
const NEXT: &str = "install one with: metaclinic triage corpus add DIR";

/// What was installed.
pub(crate) struct Installed {
    pub(crate) documents: usize,
    pub(crate) passages: usize,
    pub(crate) faults: Vec<Fault>,
    pub(crate) embedded: bool,
}

/// Where corpora lie: `METACLINIC_CORPUS`, else beside the homes of this user.
fn folder() -> Result<PathBuf, Problem> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("METACLINIC_CORPUS")
        .or_else(|| named("XDG_DATA_HOME").map(|data| data.join("metaclinic-corpus")))
        .or_else(|| named("HOME").map(|home| home.join(".local/share/metaclinic-corpus")))
        .ok_or_else(|| {
            Problem::failed("there is no place for texts").next("name a folder with METACLINIC_CORPUS")
        })
}

/// Reads MedQuAD's XML and Markdown of a folder and keeps it under its name, in place of what had that name.
///
/// # Errors
/// [`Problem`] when nothing can be read there.
pub(crate) fn add(source: &Path, embed: bool, progress: Progress<'_>) -> Result<Installed, Problem> {
    let shown = source.display();
    let name = std::path::absolute(source).tried("find the folder")?;
    let name = name
        .file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| Problem::wrong_use(format!("{shown} has no name that a corpus could have")))?;
    let mut files = Vec::new();
    walk(source, 0, &mut files)
        .map_err(|error| Problem::failed(format!("cannot read the folder {shown}")).because(error))?;
    files.sort();
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for (index, file) in files.iter().enumerate() {
        let Reading { document, faults: found } = read(source, file);
        documents.extend(document);
        faults.extend(found);
        progress(index + 1, files.len());
    }
    if documents.is_empty() {
        return Err(Problem::failed(format!("no text was found in {shown}"))
            .next("texts are MedQuAD's .xml files or Markdown .md files"));
    }
    let corpus = Corpus::new(documents).tried("index the texts")?;
    let folder = folder()?;
    std::fs::create_dir_all(&folder).tried("make the folder for texts")?;
    let mut lines = Vec::new();
    for document in corpus.documents() {
        serde_json::to_writer(&mut lines, document).tried("write the texts")?;
        lines.push(b'\n');
    }
    let vectors = folder.join(format!("{name}.embeddings"));
    if vectors.exists() {
        std::fs::remove_file(&vectors).tried("remove older embeddings")?;
    }
    replace(&folder.join(format!("{name}.ndjson")), &lines)?;
    if embed {
        let bytes = embeddings(&corpus, progress)?;
        replace(&vectors, &bytes)?;
    }
    Ok(Installed {
        documents: corpus.documents().len(),
        passages: corpus.texts().len(),
        faults,
        embedded: embed,
    })
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&path, depth + 1, files)?;
        } else if kind.is_file() && files.len() < MAX_FILES && is_text(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("xml") || ending.eq_ignore_ascii_case("md"))
}

fn read(folder: &Path, file: &Path) -> Reading {
    let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
    match std::fs::read(file) {
        Ok(bytes) if file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md")) => {
            read_markdown(&name, &bytes)
        }
        Ok(bytes) => read_medquad(&name, &bytes),
        Err(error) => {
            Reading { document: None, faults: vec![Fault { file: name, line: 1, what: error.to_string() }] }
        }
    }
}

fn embeddings(corpus: &Corpus, progress: Progress<'_>) -> Result<Vec<u8>, Problem> {
    let encoder = fetched::sentences(Backend::default())?.ok_or_else(|| {
        Problem::failed("the model of sentences is not here")
            .next("fetch it with: metaclinic models fetch sentences")
    })?;
    let texts: Vec<String> = corpus.texts().collect();
    Ok(vectors::to_bytes(&vectors::embed(&encoder, &texts, progress)?))
}

/// Whole, or as it was before.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let half = path.with_extension("half");
    let mut file = std::fs::File::create(&half).tried("write the texts")?;
    file.write_all(bytes).and_then(|()| file.sync_all()).tried("write the texts")?;
    std::fs::rename(&half, path).tried("keep the texts")
}

/// The names of what is installed.
///
/// # Errors
/// [`Problem`] when the folder cannot be read.
pub(crate) fn names() -> Result<Vec<String>, Problem> {
    let Ok(entries) = std::fs::read_dir(folder()?) else { return Ok(Vec::new()) };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".ndjson").map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// Removes what is installed under a name.
///
/// # Errors
/// [`Problem`] when there is no such corpus.
pub(crate) fn remove(name: &str) -> Result<(), Problem> {
    if !names()?.iter().any(|known| known == name) {
        return Err(Problem::not_found("there is no corpus of this name")
            .next("list them with: metaclinic triage corpus list"));
    }
    let folder = folder()?;
    let vectors = folder.join(format!("{name}.embeddings"));
    if vectors.exists() {
        std::fs::remove_file(&vectors).tried("remove the embeddings")?;
    }
    std::fs::remove_file(folder.join(format!("{name}.ndjson"))).tried("remove the texts")
}

/// What can be asked: all texts, and the encoder when all of them are embedded.
pub(crate) struct Library {
    pub(crate) corpus: Corpus,
    encoder: Option<SentenceEncoder>,
}

impl Library {
    /// Opens what is installed.
    ///
    /// # Errors
    /// [`Problem`] when nothing is, or it is damaged.
    pub(crate) fn open() -> Result<Library, Problem> {
        let names = names()?;
        if names.is_empty() {
            return Err(Problem::failed("no texts are installed to answer from").next(NEXT));
        }
        let folder = folder()?;
        let (mut documents, mut vectors, mut embedded) = (Vec::new(), Vec::new(), true);
        for name in &names {
            let damaged = || Problem::failed(format!("the corpus {name} is damaged")).next(NEXT);
            let file = std::fs::File::open(folder.join(format!("{name}.ndjson"))).tried("open the texts")?;
            for line in BufReader::new(file).lines() {
                let line = line.map_err(|_| damaged())?;
                documents.push(serde_json::from_str::<Document>(&line).map_err(|_| damaged())?);
            }
            match std::fs::read(folder.join(format!("{name}.embeddings"))) {
                Ok(bytes) => vectors.extend(vectors::parse(&bytes).ok_or_else(damaged)?),
                Err(_) => embedded = false,
            }
        }
        let corpus = Corpus::new(documents).tried("index the texts")?;
        let encoder = if embedded { fetched::sentences(Backend::default())? } else { None };
        let corpus = if encoder.is_some() {
            corpus
                .with_embeddings(vectors)
                .map_err(|error| Problem::failed("embeddings and texts differ").because(error).next(NEXT))?
        } else {
            corpus
        };
        Ok(Library { corpus, encoder })
    }

    /// The embedding of a question, when meanings are compared.
    ///
    /// # Errors
    /// [`Problem`] when the encoder fails.
    pub(crate) fn embed(&self, question: &str) -> Result<Option<Embedding>, Problem> {
        let Some(encoder) = &self.encoder else { return Ok(None) };
        Ok(encoder.embed(&[question]).tried("embed the question")?.into_iter().next())
    }

    /// Whether meanings are compared, not only words.
    pub(crate) fn compares_meanings(&self) -> bool {
        self.encoder.is_some()
    }
}
