//! Rooms between two real daemons: how soon an edit is seen, and how soon two copies are one again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{self, Daemon};

use crate::nodes::{Api, LOOPBACK, home, pair};
use crate::report::{Measured, percentile_ms};

const ROOM: &str = "bench";
/// Single edits.
const EDITS: usize = 200;
/// Edits at once.
const BURST: usize = 50;
/// How long the two are apart, in seconds: longer than a silent connection is kept.
const APART: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

struct Pair {
    _folder: tempfile::TempDir,
    homes: [PathBuf; 2],
    daemons: [Daemon; 2],
}

impl Pair {
    /// A clinic and a patient in one room; `start` starts each daemon.
    fn met(start: impl Fn(&Path, usize) -> Result<Daemon, String>) -> Result<Pair, String> {
        let folder = harness::temp_dir();
        let homes = [home(folder.path(), "clinic", "clinic"), home(folder.path(), "patient", "patient")];
        let daemons = [start(&homes[0], 0)?, start(&homes[1], 1)?];
        pair(&homes[0], &homes[1])?;
        let _ = harness::run_json(&homes[0], &["room", "create", ROOM]);
        let invited =
            harness::run_json(&homes[0], &["room", "invite", ROOM, "patient", "--role", "clinician"]);
        let ticket = invited["ticket"].as_str().ok_or("no ticket")?;
        let _ = harness::run_json(&homes[1], &["room", "join", ticket]);
        Ok(Pair { _folder: folder, homes, daemons })
    }

    fn heads(&self) -> [Value; 2] {
        [0, 1].map(|side| harness::run_json(&self.homes[side], &["room", "show", ROOM])["heads"].clone())
    }

    fn until_equal(&self, from: Instant) -> Result<Duration, String> {
        while from.elapsed() < PATIENCE {
            let [one, other] = self.heads();
            if one == other {
                return Ok(from.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the two do not hold the same room".to_owned())
    }
}

/// From the call of the local API at one node to the event at the other.
pub(crate) fn edit() -> Result<Measured, String> {
    let pair = Pair::met(|home, _| Ok(Daemon::start(home, &LOOPBACK)))?;
    pair.until_equal(Instant::now())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut writer = Api::connect(&pair.daemons[0]).await?;
        let mut seen = Api::connect(&pair.daemons[1]).await?.lines(&format!("/api/v1/rooms/{ROOM}/events")).await?;
        let path = format!("/api/v1/rooms/{ROOM}/changes");
        let mut times = Vec::new();
        for n in 0..EDITS {
            // Not in step with the batches of the node, which leave every 50 ms.
            tokio::time::sleep(Duration::from_millis(40 + (n as u64 * 37) % 100)).await;
            let started = Instant::now();
            let said = writer.post(&path, &json!({ "do": "say", "text": format!("line {n}") })).await?;
            let id = said["id"].as_str().unwrap_or_default().to_owned();
            loop {
                let event = tokio::time::timeout(PATIENCE, seen.next()).await.map_err(|_| "no event came")?;
                let event = event.ok_or("the events broke off")?;
                if event["id"] == id.as_str() {
                    break;
                }
            }
            times.push(started.elapsed());
        }
        let started = Instant::now();
        let mut last = String::new();
        for n in 0..BURST {
            let said = writer.post(&path, &json!({ "do": "say", "text": format!("burst {n}") })).await?;
            last = said["id"].as_str().unwrap_or_default().to_owned();
        }
        while seen.next().await.ok_or("the events broke off")?["id"] != last.as_str() {}
        let burst = started.elapsed();
        let mut measured = Measured::new(
            "room-edit",
            format!("two daemons on loopback; {EDITS} lines said at one, each until its event at the other, durable at both"),
        );
        measured.figure("median, ms", percentile_ms(&mut times, 0.5));
        measured.at_most("p95, ms", percentile_ms(&mut times, 0.95), 150.0);
        measured.figure(format!("{BURST} edits one after the other, until the last is seen, ms"), burst.as_secs_f64() * 1e3);
        Ok(measured)
    })
}

/// From the moment a cut wire is whole again to equal rooms. Needs root and `ip`, for two network namespaces.
pub(crate) fn heal() -> Result<Measured, String> {
    let wire = Wire::laid()?;
    let pair = Pair::met(|home, side| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAMESPACES[side]]);
        let inner = harness::command(
            home,
            &["--json", "run", "--listen", &format!("/ip4/{}/tcp/4100", ADDRESSES[side])],
        );
        command.arg(inner.get_program()).args(inner.get_args());
        Daemon::launch(command, harness::READY_LIMIT)
    })?;
    pair.until_equal(Instant::now())?;
    let mut times = Vec::new();
    for round in 0..3 {
        wire.set("down")?;
        for (side, home) in pair.homes.iter().enumerate() {
            for n in 0..10 {
                let _ = harness::run_json(home, &["room", "say", ROOM, &format!("{round} {side} {n}")]);
            }
        }
        std::thread::sleep(APART);
        wire.set("up")?;
        times.push(pair.until_equal(Instant::now())?);
    }
    let mut measured = Measured::new(
        "heal",
        format!(
            "two daemons in network namespaces; the wire is cut for {} s while both say ten lines, three times",
            APART.as_secs()
        ),
    );
    measured.figure("median, s", percentile_ms(&mut times, 0.5) / 1e3);
    measured.at_most("slowest, s", percentile_ms(&mut times, 1.0) / 1e3, 5.0);
    Ok(measured)
}

const NAMESPACES: [&str; 2] = ["metaclinic-bench-a", "metaclinic-bench-b"];
const ADDRESSES: [&str; 2] = ["10.231.7.1", "10.231.7.2"];
const ENDS: [&str; 2] = ["mcb-a", "mcb-b"];

/// Two network namespaces with a wire between them; gone when dropped.
struct Wire;

impl Wire {
    fn laid() -> Result<Wire, String> {
        let wire = Wire;
        for namespace in NAMESPACES {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "link",
            "add",
            ENDS[0],
            "netns",
            NAMESPACES[0],
            "type",
            "veth",
            "peer",
            "name",
            ENDS[1],
            "netns",
            NAMESPACES[1],
        ])?;
        for side in 0..2 {
            let address = format!("{}/24", ADDRESSES[side]);
            ip(&["-n", NAMESPACES[side], "addr", "add", &address, "dev", ENDS[side]])?;
            ip(&["-n", NAMESPACES[side], "link", "set", ENDS[side], "up"])?;
        }
        Ok(wire)
    }

    fn set(&self, state: &str) -> Result<(), String> {
        ip(&["-n", NAMESPACES[0], "link", "set", ENDS[0], state])
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in NAMESPACES {
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("ip").args(arguments).output().map_err(|error| format!("needs `ip`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("needs root and network namespaces: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
