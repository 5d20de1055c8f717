//! The local API over the home's socket, as a program of the same user speaks to it: quicker than a command each
//! time, and it shows each acknowledgement as it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

fn asked(home: &Path, method: &str, path: &str, body: &str) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(home.join("run/api.sock"))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

/// What the API answers to one call.
pub(crate) fn call(home: &Path, method: &str, path: &str) -> Value {
    let mut text = String::new();
    let answered = asked(home, method, path, "").and_then(|mut stream| stream.read_to_string(&mut text));
    answered.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    assert!(text.starts_with("HTTP/1.1 200"), "{method} {path}: {text}");
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}"))
}

/// Begins to import `file` and gives the events as they come; they end with the daemon.
pub(crate) fn import(home: &Path, file: &Path) -> impl Iterator<Item = Value> + use<> {
    let request = json!({ "paths": [file.to_str().expect("plain path")], "patient": null });
    let stream = asked(home, "POST", "/api/v1/records/import", &request.to_string());
    let lines = BufReader::new(stream.expect("the daemon listens")).lines();
    // Between the events stand the lengths of their pieces and the head of the answer.
    lines.map_while(Result::ok).filter(|line| line.starts_with('{')).filter_map(|line| {
        // The last line may have been cut by a kill.
        serde_json::from_str(&line).ok()
    })
}
