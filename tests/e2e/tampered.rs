//! Somebody on the line between two nodes, who flips bits or sends the same bytes again; and lines that break.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use metaclinic_tests::harness;

use crate::homes;
use crate::hostile::{HELLO, Hostile, RECORDS, ROLES, ROOM_SYNC, frame, records_request};
use crate::intruders::{MALFORMED, NO_GRANT, Victim};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the line does with the next bytes that go to the server.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Next {
    Pass = 0,
    Flip = 1,
    Twice = 2,
}

/// A line to a daemon with somebody on it.
struct Line {
    port: u16,
    next: Arc<AtomicU8>,
    /// Whether the server, or the client, closed it.
    ended: Arc<AtomicBool>,
}

impl Line {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let line = Self { port, next: Arc::default(), ended: Arc::default() };
        let (next, ended) = (line.next.clone(), line.ended.clone());
        // The threads end with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let up = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let next = next.clone();
                thread::spawn(move || carry(up.0, up.1, &next));
                let ended = ended.clone();
                thread::spawn(move || {
                    carry(server, client, &AtomicU8::new(Next::Pass as u8));
                    ended.store(true, Ordering::SeqCst);
                });
            }
        });
        line
    }

    fn meddle(&self, next: Next) {
        self.next.store(next as u8, Ordering::SeqCst);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether it ends in time.
    fn ends(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        self.has_ended()
    }
}

/// Carries bytes until either side closes.
fn carry(mut from: TcpStream, mut to: TcpStream, next: &AtomicU8) {
    let mut block = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut block) {
        let meddling = next.swap(Next::Pass as u8, Ordering::SeqCst);
        if meddling == Next::Flip as u8 {
            block[n - 1] ^= 1;
        }
        let times = if meddling == Next::Twice as u8 { 2 } else { 1 };
        if (0..times).any(|_| to.write_all(&block[..n]).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_frame_that_is_edited_or_sent_again_on_the_line_ends_the_line_and_is_not_answered() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let bundle = homes::write_bundle(dir.path(), 3);
    let _ = harness::run_json(&patient.home, &["records", "import", bundle.to_str().expect("plain path")]);
    let (_, clinic) = patient.paired(dir.path(), "clinic");
    let _ = harness::run_json(&patient.home, &["grant", "give", "clinic", "--type", "Observation"]);
    let address = patient.daemon.listen()[0].clone();
    let port = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a TCP address");
    let request = frame(&records_request("Observation"));
    let mut answered = 0;
    for meddling in [Next::Flip, Next::Twice] {
        let line = Line::to(port);
        let at = address.replace(&format!("/tcp/{port}"), &format!("/tcp/{}", line.port));
        let peer = Hostile::connect_at(&clinic, &at, &patient.device);
        assert_eq!(peer.try_send(RECORDS, &request).get(4), Some(&0), "answered as long as nobody meddles");
        answered += 1;
        assert!(!line.has_ended());
        line.meddle(meddling);
        let got = peer.try_send(RECORDS, &request);
        if let Next::Flip = meddling {
            assert!(got.is_empty(), "an edited request is none");
        } else {
            // The first of the two is a right request; nothing is given for the second.
            answered += u64::from(!got.is_empty());
        }
        assert!(line.ends(), "{meddling:?}: the daemon does not go on with this line");
    }
    let direct = patient.attacked_by(&clinic);
    assert_eq!(direct.request(RECORDS, &request[4..]).0, 0, "by another line it works");
    answered += 1;
    let trail = patient.end();
    let given = trail.0.iter().filter(|entry| entry["action"] == "disclose");
    let given: u64 = given.filter_map(|entry| entry["count"].as_u64()).sum();
    assert!(given == 3 * answered || given == 3 * (answered + 1), "{given} for {answered}: {:?}", trail.0);
    // Who broke the line cannot be told, and lines break: nobody is accused.
    assert!(trail.0.iter().all(|entry| entry["action"] != "refuse"), "{:?}", trail.0);
}

#[test]
fn a_frame_that_stops_half_way_is_ended_and_accuses_nobody() {
    let dir = harness::temp_dir();
    let patient = Victim::new(dir.path(), "patient", "patient");
    let (_, peer) = patient.paired(dir.path(), "peer");
    let request = frame(&records_request("Observation"));
    let torn = &request[..request.len() - 3];
    let connection = patient.attacked_by(&peer);
    let began = Instant::now();
    thread::scope(|scope| {
        for protocol in [HELLO, RECORDS, ROLES, ROOM_SYNC] {
            let connection = &connection;
            // The daemon does not wait for the rest for ever, and gives nothing for the half.
            scope.spawn(move || assert!(connection.linger(protocol, torn).is_empty(), "{protocol}"));
        }
    });
    eprintln!("ended after {:?}", began.elapsed());
    assert!(connection.refused(RECORDS, &request[4..]).contains("no grant"), "the connection serves on");
    let who = peer.identity().id().to_string();
    let trail = patient.end();
    assert_eq!(trail.count(&who, NO_GRANT), 1, "{:?}", trail.0);
    assert_eq!(trail.of(&peer, MALFORMED) + trail.count(&who, MALFORMED), 0, "{:?}", trail.0);
}
