//! The stage of the demonstration: folders, child processes, and the record of steps.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::COMMAND_LIMIT;
use crate::cli::output;
use crate::service::problem::{Problem, Tried};

/// A step and whether it held.
#[derive(Serialize)]
pub(super) struct Step {
    /// Its name.
    pub(super) name: String,
    /// Whether everything it claims was seen.
    pub(super) ok: bool,
    /// How long it took.
    pub(super) seconds: f64,
    /// What was seen, in a sentence.
    pub(super) detail: String,
}

/// What a command printed and how it ended.
pub(super) struct Ran {
    /// Exit code, or `None` when it was ended by a signal or a time limit.
    pub(super) code: Option<i32>,
    /// Its JSON objects.
    pub(super) objects: Vec<Value>,
    stderr: String,
}

/// Folders and processes of one demonstration; all of them end with it.
pub(super) struct Stage {
    folder: TempDir,
    program: PathBuf,
    daemons: Vec<(String, Running)>,
    steps: Vec<Step>,
    quiet: bool,
}

/// A child process whose JSON lines are read as they come; killed when dropped.
pub(super) struct Running {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Stage {
    pub(super) fn new(quiet: bool) -> Result<Self, Problem> {
        let folder =
            tempfile::Builder::new().prefix("metaclinic-demo-").tempdir().tried("make a temporary folder")?;
        let program = std::env::current_exe().tried("find this program")?;
        std::fs::write(folder.path().join("passphrase"), "only for this demonstration\n")
            .tried("write the passphrase file")?;
        Ok(Self { folder, program, daemons: Vec::new(), steps: Vec::new(), quiet })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Plays one step: prints its name, runs it, records whether it held. Later steps are not tried after a failure.
    pub(super) fn step(&mut self, name: &str, play: impl FnOnce(&mut Self) -> Result<String, Problem>) {
        if self.steps.iter().any(|s| !s.ok) {
            return;
        }
        self.say(&format!("\n{}. {name}", self.steps.len() + 1));
        let started = Instant::now();
        let result = play(self);
        let seconds = started.elapsed().as_secs_f64();
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(problem) => (false, problem.message),
        };
        self.say(&format!("   {} {detail} ({seconds:.1} s)", if ok { "✓" } else { "✗" }));
        self.steps.push(Step { name: name.to_owned(), ok, seconds, detail });
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            output::line(text);
        }
    }

    /// Runs `metaclinic --home HOME …` to its end.
    pub(super) fn run(&self, home: &str, args: &[&str]) -> Result<Ran, Problem> {
        let mut child = self.spawn(home, args, Stdio::piped())?;
        let stderr = child.stderr.take();
        let errors = std::thread::spawn(move || stderr.map(read_all).unwrap_or_default());
        let mut running = Running::new(child);
        let status = running.wait(COMMAND_LIMIT)?;
        Ok(Ran {
            code: status.and_then(|s| s.code()),
            // The reader ends with the child's output, and with it this iterator.
            objects: running.lines.iter().collect(),
            stderr: errors.join().unwrap_or_default(),
        })
    }

    /// Runs a command that has to succeed and returns its last object.
    pub(super) fn expect(&self, home: &str, args: &[&str]) -> Result<Value, Problem> {
        let ran = self.run(home, args)?;
        if ran.code != Some(0) {
            let words = ran.stderr.lines().next().unwrap_or("it said nothing");
            return Err(Problem::failed(format!("`{}` ended with {:?}: {words}", args.join(" "), ran.code)));
        }
        ran.objects.into_iter().next_back().ok_or_else(|| Problem::failed("the command printed nothing"))
    }

    /// Starts a command that goes on, such as `pair offer`.
    pub(super) fn start(&self, home: &str, args: &[&str]) -> Result<Running, Problem> {
        Ok(Running::new(self.spawn(home, args, Stdio::null())?))
    }

    /// Starts the daemon of a home and waits until it is ready.
    pub(super) fn start_daemon(&mut self, home: &str) -> Result<(), Problem> {
        let args = ["run", "--listen", "/ip4/127.0.0.1/tcp/0"];
        let mut running = self.start(home, &args)?;
        let ready = running.next(COMMAND_LIMIT)?;
        if ready["event"] != "ready" {
            return Err(Problem::failed("the daemon is not ready"));
        }
        self.daemons.push((home.to_owned(), running));
        Ok(())
    }

    /// `kill -9`: no chance to tidy up.
    pub(super) fn kill_daemon(&mut self, home: &str) -> Result<(), Problem> {
        let place = self.daemons.iter().position(|(name, _)| name == home);
        let (_, mut running) =
            self.daemons.remove(place.ok_or_else(|| Problem::failed("no such daemon is running"))?);
        self.say(&format!("   $ kill -9 {}   # the daemon of {home}", running.child.id()));
        running.child.kill().tried("kill the daemon")?;
        running.child.wait().tried("see the daemon end")?;
        Ok(())
    }

    fn spawn(&self, home: &str, args: &[&str], stderr: Stdio) -> Result<Child, Problem> {
        let shown: Vec<String> = args.iter().map(|a| quoted(&a.replace(&self.path_text(), "."))).collect();
        self.say(&format!("   $ metaclinic --home {home} {}", shown.join(" ")));
        Command::new(&self.program)
            .current_dir(self.folder.path())
            .env_remove("METACLINIC_HOME")
            .env("METACLINIC_PASSPHRASE_FILE", self.folder.path().join("passphrase"))
            .args(["--json", "--home", home])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .tried("start a command")
    }

    fn path_text(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// What to try while the daemons are up.
    pub(super) fn what_next(&self) -> Vec<String> {
        let folder = self.path_text();
        vec![
            String::new(),
            "The daemons stay up until you press Ctrl-C. In another terminal, try:".to_owned(),
            format!("  cd {folder} && export METACLINIC_PASSPHRASE_FILE={folder}/passphrase"),
            format!("  alias mc={}", quoted(&self.program.display().to_string())),
            "  mc --home clinic status".to_owned(),
            "  mc --home clinic records search 'Observation?_sort=-date'".to_owned(),
            "  mc --home patient audit show".to_owned(),
            "  mc --home patient grant list".to_owned(),
        ]
    }
}

impl Running {
    fn new(mut child: Child) -> Self {
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let objects = serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter();
                for object in objects.map_while(Result::ok) {
                    if sender.send(object).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// The next JSON line.
    pub(super) fn next(&mut self, limit: Duration) -> Result<Value, Problem> {
        self.lines
            .recv_timeout(limit)
            .map_err(|_| Problem::failed("a command ended or waited before it said enough"))
    }

    /// Waits for the end; `None` when the time is over, and then it is killed.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Problem> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().tried("see a command end")? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().tried("end a command")?;
        Ok(None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut from: impl std::io::Read) -> String {
    let mut text = String::new();
    // Half a message is better than none.
    let _ = from.read_to_string(&mut text);
    text
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,|@".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
}
