//! `metaclinic run`

use std::net::SocketAddr;

use clap::Args;
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
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<(), Problem> {
    drop(context.home.lock().map_err(home_problem)?);
    let passphrase = passphrase::ask(&context.global)?;
    let node = Node::open(context.home.clone(), passphrase, true).await?;
    let overrides = Overrides { listen: args.listen, http: args.http };
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
        }));
    } else {
        output::facts([
            ("identity", daemon.identity()),
            ("nodes", daemon.listen.join("\n")),
            ("api", format!("{http} (token in {})", daemon.token_file.display())),
        ]);
        output::note("Ready. Stop with Ctrl-C; pair with: metaclinic pair offer");
    }
    daemon.run().await;
    Ok(())
}
