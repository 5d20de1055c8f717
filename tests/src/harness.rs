//! Runs the built `metaclinic` program: single commands and daemons.
//!
//! Everything here talks to the program from outside (arguments, standard streams, signals), so a
//! test sees what a user sees. Each call has a time limit; a daemon is killed when its handle is
//! dropped. Failures panic with the program's own words, because only tests call this.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

#[cfg(test)]
mod tests;

/// The passphrase of every home that the tests make.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// How long a single command may take before it counts as hung.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// How long a daemon may take to print its ready line.
pub const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop after SIGTERM: the 5 s it promises, doubled for loaded machines.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How much of a program's log is kept for messages, in bytes.
const LOG_LIMIT_BYTES: usize = 1024 * 1024;

/// Pause between two looks at a running process.
const POLL: Duration = Duration::from_millis(10);

/// Path of the built `metaclinic` program.
///
/// Test binaries lie in `target/PROFILE/deps`, the program one folder above.
///
/// # Panics
/// If the program is not built: `cargo build --workspace --bins --tests` builds it.
#[must_use]
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running test knows its own path");
    let found =
        own.ancestors().skip(1).take(3).map(|folder| folder.join("metaclinic")).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no metaclinic program beside {}: run `cargo build --workspace --bins --tests`", own.display())
    })
}

/// A fresh folder that only this user can read, removed when dropped. Put homes inside it.
///
/// # Panics
/// If the system's temporary folder cannot be written.
#[must_use]
pub fn temp_dir() -> TempDir {
    let dir =
        tempfile::Builder::new().prefix("metaclinic-").tempdir().expect("the temporary folder is writable");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))
        .expect("the folder was made by this process");
    dir
}

/// The file beside `home` that holds [`PASSPHRASE`], made on first use with mode 0600.
///
/// It lies outside the home, so that a search of the home for secrets finds only what the program wrote.
///
/// # Panics
/// If the folder around the home cannot be written.
#[must_use]
pub fn passphrase_file(home: &Path) -> PathBuf {
    let mut name = home.file_name().expect("a home has a name").to_os_string();
    name.push(".passphrase");
    let path = home.with_file_name(name);
    if !path.exists() {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        file.write_all(PASSPHRASE.as_bytes()).expect("a few bytes fit on the disk");
    }
    path
}

/// The command `metaclinic --home HOME --passphrase-file FILE ARGS…`, with no input and no settings
/// of the surrounding shell.
#[must_use]
pub fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--home").arg(home).arg("--passphrase-file").arg(passphrase_file(home)).args(args);
    command.env_remove("METACLINIC_HOME").env_remove("METACLINIC_PASSPHRASE_FILE").env_remove("RUST_LOG");
    command
}

/// Runs one command on `home` to its end and returns what it printed, within [`COMMAND_LIMIT`].
///
/// # Panics
/// If the program cannot be started or does not end in time.
#[must_use]
pub fn run_cli(home: &Path, args: &[&str]) -> Output {
    run_within(command(home, args), COMMAND_LIMIT)
}

/// Runs one command with `--json`, expects exit code 0, and returns its object.
///
/// # Panics
/// If the command fails or prints something that is not one JSON object.
#[must_use]
pub fn run_json(home: &Path, args: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend_from_slice(args);
    let output = run_cli(home, &all);
    assert!(output.status.success(), "metaclinic {} failed: {}", args.join(" "), described(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("metaclinic {} printed no JSON ({e}): {}", args.join(" "), described(&output))
    })
}

/// Runs `command` to its end without input; kills it and panics when `limit` has passed.
///
/// # Panics
/// If the program cannot be started or does not end in time.
#[must_use]
pub fn run_within(mut command: Command, limit: Duration) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let stdout = read_all(child.stdout.take().expect("stdout is piped"));
    let stderr = read_all(child.stderr.take().expect("stderr is piped"));
    let status = wait_within(&mut child, limit);
    if status.is_none() {
        end(&mut child);
    }
    let gather = |reader: thread::JoinHandle<Vec<u8>>| reader.join().expect("a reader does not panic");
    let (stdout, stderr) = (gather(stdout), gather(stderr));
    match status {
        Some(status) => Output { status, stdout, stderr },
        None => panic!("{command:?} did not end in {limit:?}; it said: {}", String::from_utf8_lossy(&stderr)),
    }
}

/// A process's memory in KiB by its name in `/proc/PID/status`: `VmRSS` what it holds, `VmHWM` the peak of that.
///
/// # Panics
/// If the process is gone, or on a system that does not count it.
#[must_use]
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux counts it");
    line.trim_matches([':', ' ', '\t']).split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// Exit status and both streams as text, for failure messages.
#[must_use]
pub fn described(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\nstdout: {out}\nstderr: {err}", output.status)
}

/// That a command ended with this code and said these words.
///
/// # Panics
/// When it did not.
pub fn fails(output: &Output, code: i32, words: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", described(output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(words), "expected {words:?}: {}", described(output));
}

/// The one JSON object that a command printed.
///
/// # Panics
/// When it failed or printed something else.
pub fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", described(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The JSON objects that a command printed, one a line, whether it failed or not.
///
/// # Panics
/// When it printed something else.
pub fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// A running daemon, killed when dropped.
pub struct Daemon {
    child: Child,
    ready: Value,
    log: Log,
}

impl Daemon {
    /// Starts `metaclinic --home HOME --json run ARGS…` and waits for its ready line.
    ///
    /// # Panics
    /// If the daemon ends or stays silent for [`READY_LIMIT`]; the message holds its log.
    #[must_use]
    pub fn start(home: &Path, args: &[&str]) -> Self {
        let mut all = vec!["--json", "run"];
        all.extend_from_slice(args);
        Self::launch(command(home, &all), READY_LIMIT).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts any program that speaks like the daemon, and waits at most `limit` for its ready line.
    ///
    /// # Errors
    /// What went wrong with the program's log, as text, when it cannot be started, ends early, stays silent, or
    /// says something else first.
    pub fn launch(mut command: Command, limit: Duration) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("cannot start {command:?}: {e}"))?;
        let log = Log::default();
        log.follow(child.stderr.take().expect("stderr is piped"));
        let first = first_line(child.stdout.take().expect("stdout is piped"), log.clone());
        let mut daemon = Self { child, ready: Value::Null, log };
        let line = match first.recv_timeout(limit) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(daemon.complaint("was not ready in time")),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(daemon.complaint("ended before it was ready"));
            }
        };
        daemon.ready = serde_json::from_str(&line).unwrap_or_default();
        if daemon.ready["event"] == "ready" {
            return Ok(daemon);
        }
        Err(daemon.complaint(&format!("said {line:?} instead of its ready line")))
    }

    /// The ready line: `http`, `token_file`, `identity`, `listen`, `ticket` and what else the daemon tells.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// A text field of the ready line, such as `http`; empty if it is missing.
    #[must_use]
    pub fn told(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_default()
    }

    /// The addresses that the daemon listens on, as multiaddrs.
    #[must_use]
    pub fn listen(&self) -> Vec<String> {
        let list = self.ready["listen"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the daemon has logged so far (at most the first mebibyte).
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the daemon with SIGKILL, as a power cut would, and waits for its end.
    pub fn kill_hard(mut self) {
        end(&mut self.child);
    }

    /// Asks the daemon to stop with SIGTERM and returns its exit status.
    ///
    /// # Panics
    /// If it has not stopped after [`STOP_LIMIT`].
    #[must_use]
    pub fn stop(mut self) -> ExitStatus {
        terminate(&self.child);
        let status = wait_within(&mut self.child, STOP_LIMIT);
        status.unwrap_or_else(|| panic!("{}", self.complaint("did not stop after SIGTERM")))
    }

    fn complaint(&mut self, what: &str) -> String {
        end(&mut self.child);
        thread::sleep(POLL); // the last lines of the log are still on their way
        format!("the daemon {what}; its log: {}", self.log.text())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The first [`LOG_LIMIT_BYTES`] of what a program says, gathered by threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LOG_LIMIT_BYTES.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Reads `stream` to its end in a thread, so that the program never waits for a full pipe.
    fn follow(&self, mut stream: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut block) {
                log.push(&block[..n]);
            }
        });
    }
}

/// Sends the first line of `stream`; the rest goes to the log.
fn first_line(stream: impl Read + Send + 'static, log: Log) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        if matches!(lines.read_line(&mut line), Ok(1..)) {
            // The receiver may be gone already: it has its own time limit.
            let _ = sender.send(line.trim_end().to_owned());
        }
        log.follow(lines);
    });
    receiver
}

fn read_all(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A broken pipe ends the text; what came before is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn wait_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// SIGTERM by the shell's own `kill`, which every machine has; the standard library only knows SIGKILL.
fn terminate(child: &Child) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.id())).status();
    assert!(status.is_ok_and(|s| s.success()), "cannot signal process {}", child.id());
}

fn end(child: &mut Child) {
    // Both fail only if the process has already ended and was waited for.
    let _ = child.kill();
    let _ = child.wait();
}
