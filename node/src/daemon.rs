//! The daemon: a home held open, on the network, answering the local API until it is told to stop.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::{self, Token, Transport};
use crate::home::{self, Home};
use crate::service::network::Listen;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, home_problem};

/// After this long a stop no longer waits for open calls.
const DRAIN: Duration = Duration::from_millis(1500);

/// A daemon that is ready.
pub(crate) struct Daemon {
    node: Arc<Node>,
    terminate: Signal,
    interrupt: Signal,
    /// Where the local API listens.
    pub http: SocketAddr,
    /// Holds the token for it.
    pub token_file: std::path::PathBuf,
    /// Where other nodes reach this one.
    pub listen: Vec<String>,
    /// Whether the LAN is told.
    pub mdns: bool,
}

/// What to listen on, where it differs from `config.toml`.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// TCP multiaddresses for other nodes.
    pub listen: Vec<String>,
    /// TCP address of the local API.
    pub http: Option<SocketAddr>,
    /// Whether the LAN is told.
    pub mdns: Option<bool>,
}

impl Daemon {
    /// Joins the network and opens the local API. Everything is reachable when it returns.
    ///
    /// # Errors
    /// [`Problem`] when an address cannot be listened on.
    pub(crate) async fn start(node: Arc<Node>, overrides: Overrides) -> Result<Self, Problem> {
        // Before anything is told: whoever sees the daemon ready may stop it at once.
        let terminate = signal(SignalKind::terminate()).tried("wait for signals")?;
        let interrupt = signal(SignalKind::interrupt()).tried("wait for signals")?;
        let listen = if overrides.listen.is_empty() { node.config.listen.clone() } else { overrides.listen };
        let blobs = Some(node.config.blobs);
        let mdns = overrides.mdns.unwrap_or(node.config.mdns);
        let network = node.join_network(Listen { addresses: listen, blobs, mdns }).await?;
        let http = overrides.http.unwrap_or(node.config.http);
        if !http.ip().is_loopback() {
            return Err(
                Problem::wrong_use("the local API listens on loopback only").next("use --http 127.0.0.1:0")
            );
        }
        let listener = TcpListener::bind(http).await.map_err(|e| {
            Problem::failed(format!("cannot listen on {http}"))
                .because(e)
                .next("another program uses the port: choose another with --http, or port 0 for a free one")
        })?;
        let http = listener.local_addr().tried("read the local API's address")?;
        let token = Token::generate();
        home::write_private(&node.home.token(), token.expose().as_bytes()).map_err(home_problem)?;
        let guarded = api::guarded(api::router(Arc::clone(&node), Transport::Http), token, http);
        serve_tcp(&node, listener, guarded);
        serve_unix(&node, &node.home)?;
        node.greet_peers();
        node.meet_members();
        Ok(Self {
            http,
            token_file: node.home.token(),
            listen: network.addresses(),
            mdns,
            node,
            terminate,
            interrupt,
        })
    }

    /// Waits for SIGTERM or SIGINT, then stops cleanly.
    pub(crate) async fn run(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping");
        self.node.close().await;
        for file in [self.node.home.socket(), self.node.home.token()] {
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(%error, "cannot remove a file of the run folder");
            }
        }
    }

    /// Identity of this node.
    pub(crate) fn identity(&self) -> String {
        self.node.keyring.identity().id().to_string()
    }
}

fn serve_tcp(node: &Arc<Node>, listener: TcpListener, router: Router) {
    let stop = node.stop.clone();
    node.tasks.spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        within_drain(stop, serving.into_future()).await;
    });
}

fn serve_unix(node: &Arc<Node>, home: &Home) -> Result<(), Problem> {
    let path = home.socket();
    // The lock is held, so a socket that is still there was left by a process that is gone.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Problem::failed("cannot remove the old socket").because(e));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(|e| {
        Problem::failed("cannot make the home's socket")
            .because(e)
            .next("the path of a home must be shorter than about 90 characters and on a local disk")
    })?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .tried("protect the home's socket")?;
    let router = api::router(Arc::clone(node), Transport::Local);
    let stop = node.stop.clone();
    node.tasks.spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        within_drain(stop, serving.into_future()).await;
    });
    Ok(())
}

/// Lets open calls finish after a stop, but not for ever.
async fn within_drain(stop: CancellationToken, serving: impl Future<Output = std::io::Result<()>>) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = serving => if let Err(error) = ended { tracing::error!(%error, "the local API stopped") },
        () = late => {}
    }
}
