//! `metaclinic audit …`

use clap::Subcommand;

use super::{Context, output};
use crate::api::types::{AuditLine, AuditPage, AuditVerification};
use crate::service::problem::Problem;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Show who did what; the newest entries unless --from is given
    Show {
        /// First entry, from 0
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
        /// How many entries
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: usize,
    },
    /// Recompute the chain and check it against the signed heads
    Verify,
}

pub(super) async fn run(context: &Context, command: AuditCommand) -> Result<(), Problem> {
    match command {
        AuditCommand::Show { from, limit } => show(context, from, limit).await,
        AuditCommand::Verify => verify(context).await,
    }
}

async fn show(context: &Context, from: Option<u64>, limit: usize) -> Result<(), Problem> {
    let from = from.map(|f| format!("&from={f}")).unwrap_or_default();
    let path = format!("/api/v1/audit?limit={limit}{from}");
    let page: AuditPage = context.with_client(async |client| client.get(&path).await).await?;
    if context.global.json {
        output::json(&page);
        return Ok(());
    }
    let short =
        |id: &str| -> String { if id.len() > 16 { id.chars().take(12).collect() } else { id.to_owned() } };
    let row = |e: AuditLine| {
        let who = e.name.unwrap_or_else(|| short(&e.who));
        let grant = e.grant.as_deref().map(short).unwrap_or_default();
        let purpose = e.purpose.unwrap_or_default();
        [e.seq.to_string(), e.time, who, e.action, e.count.to_string(), purpose, grant, e.outcome]
    };
    let total = page.total;
    let headers = ["", "time", "who", "action", "count", "purpose", "consent", "outcome"];
    output::table(headers, page.entries.into_iter().map(row));
    output::note(&format!("{total} entries in all; check them with: metaclinic audit verify"));
    Ok(())
}

async fn verify(context: &Context) -> Result<(), Problem> {
    let result: AuditVerification =
        context.with_client(async |client| client.post("/api/v1/audit/verify", &()).await).await?;
    if context.global.json {
        output::json(&result);
    } else if result.verified {
        output::line(&format!(
            "{} entries verified against {} signed heads; head {}",
            result.entries, result.checkpoints, result.head
        ));
    }
    match result.reason {
        None => Ok(()),
        Some(reason) => Err(Problem::failed(format!("the audit trail does not verify: {reason}"))
            .next("keep a copy of the home and find out who had access to this machine")
            .shown()),
    }
}
