//! Streams in both directions: the behaviour that opens them and hands over those that peers open.
//!
//! Written here because libp2p-stream (0.5.0-alpha; the tests play hostile peers with it, nothing else uses it)
//! gives each protocol a channel of one place and drops what finds it full, so that eight devices asking at once
//! lose requests; and it keeps an entry for every connection there ever was. Here arriving streams wait in one
//! queue, and nothing outlives its connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::NetError;
use crate::frame::lost;

/// Streams that peers opened and the accept loop has not seen yet.
const ARRIVING_STREAMS: usize = 256;
/// Streams to open that wait in one connection; more are refused at once.
const WAITING_TO_OPEN: usize = 128;

/// A stream that a peer opened.
pub(crate) struct Arrival {
    pub(crate) peer: PeerId,
    pub(crate) protocol: StreamProtocol,
    pub(crate) line: Line,
}

/// An open stream and whether its connection is.
pub(crate) struct Line {
    pub(crate) stream: Stream,
    /// Cancelled when the connection closes. Who reads without a time limit must watch it: a reader whose
    /// connection is closed at this side is never woken (yamux 0.14).
    pub(crate) closed: CancellationToken,
}

/// Where a freshly opened stream goes.
pub(crate) type OpenReply = oneshot::Sender<Result<Line, NetError>>;

/// The behaviour: one handler for each connection.
pub(crate) struct Streams {
    protocols: Vec<StreamProtocol>,
    arrived: mpsc::Sender<Arrival>,
    patience: Duration,
    to_open: VecDeque<(PeerId, Open)>,
    waker: Option<Waker>,
}

impl Streams {
    /// Accepts the protocols; streams arrive at the receiver.
    pub(crate) fn new(protocols: Vec<StreamProtocol>, patience: Duration) -> (Self, mpsc::Receiver<Arrival>) {
        let (arrived, arrivals) = mpsc::channel(ARRIVING_STREAMS);
        (Self { protocols, arrived, patience, to_open: VecDeque::new(), waker: None }, arrivals)
    }

    /// Opens a stream on an existing connection; without one the reply is dropped.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, reply: OpenReply) {
        self.to_open.push_back((peer, Open { protocol, reply }));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler {
            peer,
            protocols: self.protocols.clone(),
            arrived: self.arrived.clone(),
            patience: self.patience,
            to_open: VecDeque::new(),
            closed: CancellationToken::new().drop_guard(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, event)) = self.to_open.pop_front() {
            return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event });
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The wish for a stream.
pub(crate) struct Open {
    protocol: StreamProtocol,
    reply: OpenReply,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Open").field(&self.protocol).finish()
    }
}

/// The streams of one connection.
pub(crate) struct Handler {
    peer: PeerId,
    protocols: Vec<StreamProtocol>,
    arrived: mpsc::Sender<Arrival>,
    patience: Duration,
    to_open: VecDeque<Open>,
    /// Cancelled when the handler goes, at the latest.
    closed: DropGuard,
}

impl Handler {
    fn line(&self, stream: Stream) -> Line {
        Line { stream, closed: self.closed.token().clone() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Offer(self.protocols.clone()), ()).with_timeout(self.patience)
    }

    fn connection_keep_alive(&self) -> bool {
        !self.to_open.is_empty()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, OpenReply, Self::ToBehaviour>> {
        // The connection polls its handler after each event that it gives it, so no waker is needed.
        while let Some(Open { protocol, reply }) = self.to_open.pop_front() {
            if !reply.is_closed() {
                let protocol =
                    SubstreamProtocol::new(Offer(vec![protocol]), reply).with_timeout(self.patience);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.closed.token().cancel();
        Poll::Ready(None)
    }

    fn on_behaviour_event(&mut self, open: Open) {
        if self.to_open.len() < WAITING_TO_OPEN {
            self.to_open.push_back(open);
        } else {
            let _ = open.reply.send(Err(lost(std::io::ErrorKind::WouldBlock.into())));
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), OpenReply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => {
                let (peer, line) = (self.peer, self.line(stream));
                if self.arrived.try_send(Arrival { peer, protocol, line }).is_err() {
                    tracing::warn!(%peer, "too many streams arrive at once: one is dropped");
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => {
                // The caller may have given up; then the stream is closed again.
                let _ = reply.send(Ok(self.line(stream)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let _ = reply.send(Err(match error {
                    StreamUpgradeError::Timeout => NetError::Timeout("opening a stream"),
                    StreamUpgradeError::NegotiationFailed => {
                        NetError::Malformed("it does not speak this protocol")
                    }
                    StreamUpgradeError::Io(error) => lost(error),
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// Agrees on one of the protocols and changes nothing about the stream.
pub(crate) struct Offer(Vec<StreamProtocol>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
