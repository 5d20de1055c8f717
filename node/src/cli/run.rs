//! `metaclinic run`

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, output, passphrase};
use crate::daemon::{Daemon, Overrides};
use crate::service::problem::Problem;
use crate::service::{Node, home_problem};

/// What to listen on, where it differs from config.toml.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Address of the local API, on loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// TCP multiaddress for other nodes, e.g. /ip4/0.0.0.0/tcp/4100; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Tell the local network who and where this node is, and look for its peers there
    #[arg(long, value_name = "on|off")]
    mdns: Option<Switch>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<(), Problem> {
    drop(context.home.lock().map_err(home_problem)?);
    let passphrase = passphrase::ask(&context.global)?;
    let node = Node::open(context.home.clone(), passphrase, true).await?;
    let mdns = args.mdns.map(|switch| switch == Switch::On);
    let overrides = Overrides { listen: args.listen, http: args.http, mdns };
    let daemon = match Daemon::start(std::sync::Arc::clone(&node), overrides).await {
        Ok(daemon) => daemon,
        Err(problem) => {
            node.close().await;
            return Err(problem);
        }
    };
    drop(node);
    let http = format!("http://{}", daemon.http);
    if context.global.json {
        output::json(&json!({
            "event": "ready",
            "http": http,
            "token_file": daemon.token_file,
            "identity": daemon.identity(),
            "listen": daemon.listen,
            "ticket": daemon.listen.first(),
            "mdns": daemon.mdns,
        }));
    } else {
        let lan = if daemon.mdns { "told that this node is here (mDNS)" } else { "told nothing" };
        output::facts([
            ("identity", daemon.identity()),
            ("nodes", daemon.listen.join("\n")),
            ("local network", lan.to_owned()),
            ("api", format!("{http} (token in {})", daemon.token_file.display())),
        ]);
        output::note("Ready. Stop with Ctrl-C; pair with: metaclinic pair offer");
    }
    daemon.run().await;
    Ok(())
}
