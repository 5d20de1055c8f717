//! Real nodes for measurements: homes, daemons, pairing, and calls of the local API over HTTP.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::harness::{self, Daemon};

use crate::report::{Measured, percentile_ms};

/// Rounds of starting.
const STARTS: usize = 10;

/// A new home.
pub(crate) fn home(folder: &Path, name: &str, role: &str) -> PathBuf {
    let home = folder.join(name);
    let _ = harness::run_json(&home, &["init", "--role", role, "--name", name]);
    home
}

/// Pairs two homes whose daemons run.
pub(crate) fn pair(offering: &Path, accepting: &Path) -> Result<(), String> {
    let mut command = harness::command(offering, &["--json", "pair", "offer"]);
    let mut offer = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot offer: {error}"))?;
    let stdout = offer.stdout.take().ok_or("the offer has no output")?;
    // Kept until the end: an offer whose reader has gone away ends.
    let mut lines = BufReader::new(stdout).lines();
    let opened = lines.next().and_then(Result::ok).unwrap_or_default();
    let opened: Value = serde_json::from_str(&opened).unwrap_or_default();
    let ticket = opened["ticket"].as_str().ok_or("the offer showed no ticket")?;
    let _ = harness::run_json(accepting, &["pair", "accept", ticket]);
    lines.for_each(drop);
    offer.wait().map(|_| ()).map_err(|error| error.to_string())
}

/// A connection to the local API of a daemon.
pub(crate) struct Api {
    sender: SendRequest<Full<Bytes>>,
    token: String,
    host: String,
}

impl Api {
    /// Connects to the daemon that printed this ready line.
    pub(crate) async fn connect(daemon: &Daemon) -> Result<Api, String> {
        let host = daemon.told("http").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let token = std::fs::read_to_string(daemon.told("token_file")).map_err(|error| error.to_string())?;
        let stream = tokio::net::TcpStream::connect(&host).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Api { sender, token: token.trim().to_owned(), host })
    }

    async fn send(&mut self, method: &str, path: &str, body: String) -> Result<Response<Incoming>, String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let response = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(format!("{path}: {}", response.status()))
        }
    }

    /// Posts JSON and takes the answer whole.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        let response = self.send("POST", path, body.to_string()).await?;
        let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    /// Gets a stream of lines.
    pub(crate) async fn lines(mut self, path: &str) -> Result<Lines, String> {
        let response = self.send("GET", path, String::new()).await?;
        Ok(Lines { body: response.into_body(), pending: Vec::new(), _connection: self.sender })
    }
}

/// A stream of JSON objects, one a line.
pub(crate) struct Lines {
    body: Incoming,
    pending: Vec<u8>,
    _connection: SendRequest<Full<Bytes>>,
}

impl Lines {
    /// The next object; nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let frame = self.body.frame().await?.ok()?;
            self.pending.extend_from_slice(frame.data_ref()?);
        }
    }
}

/// From `metaclinic run` to its ready line, on an empty home and on one with a data set.
pub(crate) fn start(data: Option<&Path>) -> Result<Measured, String> {
    let folder = harness::temp_dir();
    let home = home(folder.path(), "clinic", "clinic");
    let mut measured = Measured::new(
        "start",
        format!(
            "`metaclinic run` until its ready line, {STARTS} times; the passphrase costs scrypt at 2^18 each time"
        ),
    );
    let mut add = |what: &str| {
        let mut times: Vec<Duration> = (0..STARTS).map(|_| start_once(&home)).collect();
        measured.figure(format!("{what}, median, ms"), percentile_ms(&mut times, 0.5));
        measured.at_most(format!("{what}, p95, ms"), percentile_ms(&mut times, 0.95), 2_000.0);
    };
    add("empty home");
    if let Some(set) = data.map(|data| data.join("fhir-synthea")).filter(|set| set.is_dir()) {
        let imported = harness::run_json(&home, &["records", "import", &set.display().to_string()]);
        add(&format!("{} records", imported["imported"]));
    }
    Ok(measured)
}

fn start_once(home: &Path) -> Duration {
    let started = Instant::now();
    let daemon = Daemon::start(home, &LOOPBACK);
    let ready = started.elapsed();
    let _ = daemon.stop();
    ready
}

/// Nobody but this machine is talked to.
pub(crate) const LOOPBACK: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];
