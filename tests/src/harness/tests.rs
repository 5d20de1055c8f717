//! The harness, tried on shell scripts that speak like a daemon.

use super::*;

fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(text);
    command
}

fn launch(text: &str, limit: Duration) -> Result<Daemon, String> {
    Daemon::launch(script(text), limit)
}

const READY: &str =
    r#"echo '{"event":"ready","http":"http://127.0.0.1:1","listen":["/ip4/127.0.0.1/tcp/2"]}'"#;

#[test]
fn ready_line_is_read() {
    let mut daemon = launch(&format!("{READY}; exec sleep 60"), READY_LIMIT).unwrap();
    assert_eq!(daemon.told("http"), "http://127.0.0.1:1");
    assert_eq!(daemon.listen(), ["/ip4/127.0.0.1/tcp/2"]);
    assert!(daemon.is_running());
}

#[test]
fn silent_program_is_given_up_with_its_log() {
    let why = launch("echo thinking >&2; exec sleep 60", Duration::from_millis(300)).err().unwrap();
    assert!(why.contains("not ready in time") && why.contains("thinking"), "{why}");
}

#[test]
fn early_end_is_told_with_its_log() {
    let why = launch("echo wrong passphrase >&2; exit 1", READY_LIMIT).err().unwrap();
    assert!(why.contains("ended before") && why.contains("wrong passphrase"), "{why}");
}

#[test]
fn other_first_line_is_refused() {
    let why = launch("echo hello; exec sleep 60", READY_LIMIT).err().unwrap();
    assert!(why.contains("hello"), "{why}");
}

#[test]
fn stop_sends_sigterm_and_returns_the_exit_code() {
    let text = format!("trap 'exit 7' TERM; {READY}; while :; do sleep 0.05; done");
    let daemon = launch(&text, READY_LIMIT).unwrap();
    assert_eq!(daemon.stop().code(), Some(7));
}

#[test]
fn dropped_daemon_is_dead() {
    let daemon = launch(&format!("{READY}; exec sleep 60"), READY_LIMIT).unwrap();
    let pid = daemon.pid();
    drop(daemon);
    assert!(!script(&format!("kill -0 {pid} 2>/dev/null")).status().unwrap().success());
}

#[test]
fn chatty_daemon_does_not_block() {
    let text = format!("{READY}; yes out | head -c 300000; yes err | head -c 300000 >&2");
    let mut daemon = launch(&text, READY_LIMIT).unwrap();
    assert!(wait_within(&mut daemon.child, COMMAND_LIMIT).is_some());
}

#[test]
fn command_output_is_returned_whole() {
    let output = run_within(script("yes out | head -c 200000; echo err >&2; exit 3"), COMMAND_LIMIT);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 200_000));
    assert!(described(&output).contains("err"));
}

#[test]
#[should_panic(expected = "did not end")]
fn hung_command_is_killed() {
    let _ = run_within(script("exec sleep 60"), Duration::from_millis(200));
}

#[test]
fn passphrase_file_lies_outside_the_home_and_is_private() {
    let dir = temp_dir();
    let home = dir.path().join("clinic");
    let path = passphrase_file(&home);
    assert_eq!(path, dir.path().join("clinic.passphrase"));
    assert_eq!(fs::read_to_string(&path).unwrap(), PASSPHRASE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
