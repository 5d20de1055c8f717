//! `metaclinic status`

use std::time::Duration;

use super::{Context, output};
use crate::api::types::Status;
use crate::service::problem::Problem;

/// A daemon that takes longer to say how it is hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(context: &Context) -> Result<(), Problem> {
    let asked = context.with_client(async |client| {
        let answer = tokio::time::timeout(ANSWER_LIMIT, client.get("/api/v1/status")).await;
        answer.unwrap_or_else(|_| {
            Err(Problem::failed("the daemon of this home runs but does not answer")
                .next("stop it (SIGTERM, then SIGKILL) and start it again: nothing acknowledged is lost"))
        })
    });
    let status: Status = asked.await?;
    let trouble = status.trouble.join("; ");
    if context.global.json {
        output::json(&status);
    } else {
        show(status);
    }
    if trouble.is_empty() {
        return Ok(());
    }
    Err(Problem::failed(format!("the store is not well: {trouble}"))
        .next("free space on the disk if it is full, start the daemon again, then: metaclinic records verify")
        .shown())
}

fn show(status: Status) {
    let running =
        if status.daemon { format!("running for {} s", status.uptime_s) } else { "not running".to_owned() };
    let connected = status.peers.iter().filter(|p| p.connected).count();
    output::facts([
        ("name", format!("{} ({})", status.name, status.role)),
        ("identity", status.identity),
        ("home", status.home),
        ("daemon", running),
        ("records", status.records.to_string()),
        ("rooms", status.rooms.len().to_string()),
        ("audit", format!("{} entries", status.audit_entries)),
        ("peers", format!("{} paired, {connected} connected", status.peers.len())),
        ("listen", status.listen.join("\n")),
    ]);
}
