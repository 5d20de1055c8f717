//! `metaclinic pair …`

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;

use clap::Subcommand;
use serde_json::json;

use super::{Context, output};
use crate::api::types::{
    AcceptEvent, AcceptRequest, ConfirmRequest, LONGEST_OFFER_MINUTES, OfferEvent, OfferRequest, Peer,
};
use crate::client::Client;
use crate::service::problem::{Kind, Problem};

#[derive(Subcommand)]
pub(super) enum PairCommand {
    /// Offer to pair: shows a code and a ticket, and waits for the other side (10 minutes at most, 3 tries)
    Offer {
        /// What the other side gets; reading records always needs a consent besides
        #[arg(long, default_value = "contact")]
        right: String,
        /// How long the offer stands; a shorter one is worth less to who finds the ticket afterwards
        #[arg(long, value_name = "MINUTES", default_value_t = LONGEST_OFFER_MINUTES,
            value_parser = clap::value_parser!(u8).range(1..=i64::from(LONGEST_OFFER_MINUTES)))]
        minutes: u8,
        /// Show the ticket as a QR code too
        #[arg(long)]
        qr: bool,
        /// Confirm without asking (implied when there is no terminal to ask on)
        #[arg(long)]
        yes: bool,
    },
    /// Accept an offer by its code or its ticket; by a code without --at it is looked for on the local network
    Accept {
        /// Code such as 17-orbit-velvet, or a ticket mcpair1…
        code: String,
        /// Address of the offering node, as its `pair offer` shows it
        #[arg(long, value_name = "MULTIADDR")]
        at: Option<String>,
    },
    /// List paired peers
    List,
}

pub(super) async fn run(context: &Context, command: PairCommand) -> Result<(), Problem> {
    match command {
        PairCommand::Offer { right, minutes, qr, yes } => {
            let request = OfferRequest { right, minutes };
            context.with_client(async |client| offer(context, client, &request, qr, yes).await).await
        }
        PairCommand::Accept { code, at } => {
            let request = AcceptRequest { secret: code, at };
            context.with_client(async |client| accept(context, client, &request).await).await
        }
        PairCommand::List => list(context).await,
    }
}

async fn offer(
    context: &Context,
    client: &Client,
    request: &OfferRequest,
    qr: bool,
    yes: bool,
) -> Result<(), Problem> {
    let as_json = context.global.json;
    let ask = !yes && !as_json && std::io::stdin().is_terminal();
    let mut end = Err(Problem::failed("the daemon stopped before anyone paired"));
    client
        .stream("/api/v1/pairing/offer", request, async |event: OfferEvent| {
            if as_json {
                output::json(&event);
            } else {
                show_offer(&event, qr);
            }
            match event {
                OfferEvent::Check { .. } => {
                    let accept = !ask || confirmed().await;
                    if let Err(problem) =
                        client.post::<()>("/api/v1/pairing/confirm", &ConfirmRequest { accept }).await
                    {
                        end = Err(problem);
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                }
                OfferEvent::Paired { .. } => {
                    end = Ok(());
                    ControlFlow::Break(())
                }
                OfferEvent::Failed { reason } => {
                    end = Err(Problem::new(Kind::Denied, format!("not paired: {reason}"))
                        .next("make a new offer with: metaclinic pair offer"));
                    ControlFlow::Break(())
                }
                OfferEvent::Offer { .. } | OfferEvent::Try { .. } => ControlFlow::Continue(()),
            }
        })
        .await?;
    end
}

fn show_offer(event: &OfferEvent, qr: bool) {
    match event {
        OfferEvent::Offer { code, ticket, addresses, expires } => {
            output::facts([("code", code.clone()), ("expires", expires.clone())]);
            // Another machine cannot reach this one's loopback address.
            let beyond =
                addresses.iter().find(|a| !a.starts_with("/ip4/127.") && !a.starts_with("/ip6/::1/"));
            if let Some(address) = beyond.or(addresses.first()) {
                output::line(&format!(
                    "\nOn the other side, with the code:\n  metaclinic pair accept {code} --at {address}"
                ));
            }
            output::line(&format!("\nor with the ticket:\n  metaclinic pair accept {ticket}\n"));
            if qr {
                show_qr(ticket);
            }
            output::note("Waiting for the other side …");
        }
        OfferEvent::Check { check, name, device_name, .. } => {
            output::line(&format!(
                "{name} ({device_name}) wants to pair. Check digits on both screens: {check}"
            ));
        }
        OfferEvent::Try { reason } => output::note(&format!("A try failed: {reason}. Still waiting …")),
        OfferEvent::Paired { peer, name, check } => {
            output::line(&format!("Paired with {name} ({peer}), check {check}"));
        }
        OfferEvent::Failed { .. } => {}
    }
}

fn show_qr(ticket: &str) {
    match qrcode::QrCode::new(ticket.to_ascii_uppercase()) {
        Ok(code) => output::line(&code.render::<qrcode::render::unicode::Dense1x2>().build()),
        Err(_) => output::note("the ticket is too long for a QR code"),
    }
}

/// Asks the person; anything but yes is no. Reading blocks, so it has a thread of its own.
async fn confirmed() -> bool {
    let answer = tokio::task::spawn_blocking(|| {
        // The prompt is lost only when stderr is closed; the answer still counts.
        let _ = write!(std::io::stderr(), "Do both screens show the same digits? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    matches!(answer.await, Ok(Ok(line)) if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn accept(context: &Context, client: &Client, request: &AcceptRequest) -> Result<(), Problem> {
    let as_json = context.global.json;
    let mut end = Err(Problem::failed("the daemon stopped before the pairing was done"));
    client
        .stream("/api/v1/pairing/accept", request, async |event: AcceptEvent| match event {
            AcceptEvent::Check { check, name } => {
                if !as_json {
                    output::line(&format!("Check digits on both screens: {check} ({name})"));
                    output::note("Waiting for the other side to confirm …");
                }
                ControlFlow::Continue(())
            }
            AcceptEvent::Paired { peer, name, check } => {
                if as_json {
                    output::json(&json!({ "peer": peer, "name": name, "check": check }));
                } else {
                    output::line(&format!("Paired with {name} ({peer})"));
                }
                end = Ok(());
                ControlFlow::Break(())
            }
            AcceptEvent::Failed(body) => {
                end = Err(body.into());
                ControlFlow::Break(())
            }
        })
        .await?;
    end
}

async fn list(context: &Context) -> Result<(), Problem> {
    let peers: Vec<Peer> = context.with_client(async |client| client.get("/api/v1/peers").await).await?;
    if context.global.json {
        output::json(&json!({ "peers": peers }));
    } else if peers.is_empty() {
        output::note("No peers yet. Pair with: metaclinic pair offer");
    } else {
        let row = |p: Peer| {
            let state = if p.connected { "connected" } else { "" };
            [p.name, p.role, p.device_name, p.paired, state.to_owned(), p.identity]
        };
        output::table(["name", "role", "device", "paired", "", "identity"], peers.into_iter().map(row));
    }
    Ok(())
}
