//! `metaclinic status`

use super::{Context, output};
use crate::api::types::Status;
use crate::service::problem::Problem;

pub(super) async fn run(context: &Context) -> Result<(), Problem> {
    let status: Status = context.with_client(async |client| client.get("/api/v1/status").await).await?;
    if context.global.json {
        output::json(&status);
        return Ok(());
    }
    let running =
        if status.daemon { format!("running for {} s", status.uptime_s) } else { "not running".to_owned() };
    let connected = status.peers.iter().filter(|p| p.connected).count();
    output::facts([
        ("name", format!("{} ({})", status.name, status.role)),
        ("identity", status.identity),
        ("home", status.home),
        ("daemon", running),
        ("records", status.records.to_string()),
        ("audit", format!("{} entries", status.audit_entries)),
        ("peers", format!("{} paired, {connected} connected", status.peers.len())),
        ("listen", status.listen.join(", ")),
    ]);
    Ok(())
}
