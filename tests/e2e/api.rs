//! The loopback listener as a hostile web page and as an honest program see it.

use std::io::{Read, Write};
use std::net::TcpStream;

use metaclinic_tests::harness::{self, Daemon};

use crate::homes;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

pub(crate) fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let address = daemon.told("http").trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("the listener is up");
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let status = text.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, body: text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default() }
}

#[test]
fn only_the_token_from_this_machine_opens_the_api() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let daemon = homes::daemon(&home);
    let token = std::fs::read_to_string(daemon.told("token_file")).expect("the token file");
    let bearer = format!("Bearer {}", token.trim());
    let auth = ("Authorization", bearer.as_str());
    let status = |headers: &[(&str, &str)]| ask(&daemon, "GET", "/api/v1/status", headers, "").status;
    assert_eq!(status(&[auth]), 200);
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("Authorization", "Bearer guess")]), 401);
    assert_eq!(status(&[auth, ("Host", "evil.example")]), 403);
    assert_eq!(status(&[auth, ("Origin", "http://evil.example")]), 403);
    assert_eq!(status(&[auth, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(ask(&daemon, "GET", "/healthz", &[], "").status, 200);
    assert_eq!(ask(&daemon, "GET", "/readyz", &[], "").status, 200);
    let document = ask(&daemon, "GET", "/api/v1/openapi.json", &[auth], "");
    assert!(document.body.contains("/api/v1/records/import"));
    let import = ask(
        &daemon,
        "POST",
        "/api/v1/records/import",
        &[auth, ("Content-Type", "application/json")],
        r#"{"paths":["/etc/passwd"],"patient":null}"#,
    );
    assert_eq!(import.status, 403, "paths are read for the user's own processes only");
    assert!(daemon.stop().success());
}

#[test]
fn fhir_problems_are_operation_outcomes() {
    let dir = harness::temp_dir();
    let home = homes::made(dir.path(), "clinic", "clinic");
    let daemon = homes::daemon(&home);
    let token = std::fs::read_to_string(daemon.told("token_file")).expect("the token file");
    let bearer = format!("Bearer {}", token.trim());
    let get = |path: &str| ask(&daemon, "GET", path, &[("Authorization", &bearer)], "");
    let missing = get("/fhir/R4/Patient/nobody");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("OperationOutcome"));
    assert_eq!(get("/fhir/R4/Patient?nonsense=1").status, 400);
    assert_eq!(get("/fhir/R4/patient").status, 400);
    let empty = get("/fhir/R4/Patient");
    assert_eq!(empty.status, 200);
    assert!(empty.body.contains("searchset"));
    assert_eq!(get("/nowhere").status, 404);
}
