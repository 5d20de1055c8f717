//! `metaclinic demo`: the main job on this machine, as people would do it: every step is a command that is printed
//! and run as a process of its own, on homes of its own, with real sockets and real files.

mod script;
mod stage;

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Context, output};
use crate::service::problem::{Problem, Tried};

/// How the demonstration is shown.
#[derive(Args)]
pub(super) struct DemoArgs {
    /// End when the last step is done, instead of leaving the daemons up to try things
    #[arg(long)]
    headless: bool,
}

pub(super) async fn run(context: &Context, args: DemoArgs) -> Result<(), Problem> {
    let json = context.global.json;
    let shown = tokio::task::spawn_blocking(move || {
        let mut stage = stage::Stage::new(json)?;
        script::play(&mut stage);
        Ok::<_, Problem>(stage)
    });
    let stage = shown.await.tried("run the demonstration")??;
    let ok = stage.steps().iter().all(|s| s.ok);
    if json {
        output::json(&json!({ "steps": stage.steps(), "ok": ok }));
    } else {
        let seconds: f64 = stage.steps().iter().map(|s| s.seconds).sum();
        let held = stage.steps().iter().filter(|s| s.ok).count();
        output::line(&format!("\n{held} of {} steps held, {seconds:.1} s", stage.steps().len()));
    }
    if ok && !args.headless && !json {
        for line in stage.what_next() {
            output::line(&line);
        }
        // Waiting ends with the process or with Ctrl-C; the daemons end with it.
        tokio::signal::ctrl_c().await.tried("wait for Ctrl-C")?;
    }
    let failed = stage.steps().iter().find(|s| !s.ok).map(|s| s.name.clone());
    tokio::task::spawn_blocking(move || drop(stage)).await.tried("stop the demonstration")?;
    match failed {
        None => Ok(()),
        Some(name) => Err(Problem::failed(format!("the step \"{name}\" did not hold"))
            .next("run it again with METACLINIC_LOG=debug; the details above say which command failed")
            .shown()),
    }
}

/// How long one command of the script may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
