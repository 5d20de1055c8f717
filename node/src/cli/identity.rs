//! `metaclinic identity …`

use clap::Subcommand;

use super::{Context, output};
use crate::api::types::{IdentityInfo, SafetyNumber};
use crate::service::problem::Problem;

#[derive(Subcommand)]
pub(super) enum IdentityCommand {
    /// Show this home's identity
    Show,
    /// List the devices that this identity vouches for
    Devices,
    /// Show the number that you and a peer compare by voice
    SafetyNumber {
        /// Name or id of a paired peer, or any identity
        id: String,
    },
}

pub(super) async fn run(context: &Context, command: IdentityCommand) -> Result<(), Problem> {
    match command {
        IdentityCommand::SafetyNumber { id } => safety_number(context, &id).await,
        IdentityCommand::Show => {
            let info = info(context).await?;
            if context.global.json {
                output::json(&info);
            } else {
                output::facts([
                    ("name", format!("{} ({})", info.name, info.role)),
                    ("identity", info.identity),
                    ("device", info.device),
                ]);
            }
            Ok(())
        }
        IdentityCommand::Devices => {
            let info = info(context).await?;
            if context.global.json {
                output::json(&info);
            } else {
                let row = |d: crate::api::types::DeviceInfo| {
                    [
                        d.device,
                        d.name,
                        d.epoch.to_string(),
                        d.not_after,
                        if d.this { "this one" } else { "" }.to_owned(),
                    ]
                };
                output::table(
                    ["device", "name", "epoch", "valid until", ""],
                    info.devices.into_iter().map(row),
                );
            }
            Ok(())
        }
    }
}

async fn info(context: &Context) -> Result<IdentityInfo, Problem> {
    context.with_client(async |client| client.get("/api/v1/identity").await).await
}

async fn safety_number(context: &Context, id: &str) -> Result<(), Problem> {
    let path = format!("/api/v1/identity/safety-number/{}", super::segment(id));
    let number: SafetyNumber = context.with_client(async |client| client.get(&path).await).await?;
    if context.global.json {
        output::json(&number);
    } else {
        output::line(&number.safety_number);
        output::note("Read it to each other over a channel you trust; both sides see the same digits.");
    }
    Ok(())
}
