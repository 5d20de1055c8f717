//! One request, one answer, on a stream of its own.
//!
//! The answer frame begins with a status byte: 0, then the answer; or 1 (refused), 2 (try again later) or 3 (failed),
//! then the reason as UTF-8 text of at most 200 bytes.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use keys::{DenyReason, DeviceId};
use libp2p::Stream;
use tokio::sync::oneshot;

use crate::access::Door;
use crate::error::NetError;
use crate::frame::{Patience, read_frame, write_frame};
use crate::limit::Slot;
use crate::network::NetEvent;
use crate::protocol::{Protocol, Timing};

/// Status byte of an answer.
const OK: u8 = 0;
/// Status byte of a refusal.
const REFUSED: u8 = 1;
/// Status byte of a peer that is asked too often or too much at once.
const LATER: u8 = 2;
/// Status byte of a peer that tried and could not.
const FAILED: u8 = 3;
/// Longest reason of a refusal in bytes.
const REASON_BYTES: usize = 200;

/// Why a request gets no answer, with a reason for the person at the other end (cut at 200 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decline {
    /// The peer has no right to it.
    Refused(String),
    /// Too often or too much at once: it may ask again a little later.
    Later(String),
    /// It was tried and did not work.
    Failed(String),
}

impl Decline {
    const fn parts(&self) -> (u8, &String) {
        match self {
            Self::Refused(reason) => (REFUSED, reason),
            Self::Later(reason) => (LATER, reason),
            Self::Failed(reason) => (FAILED, reason),
        }
    }

    fn failed(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

/// A plain reason is a refusal.
impl From<String> for Decline {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// A request of an allowed device, waiting for its answer. Dropping it fails it.
pub struct IncomingRequest {
    /// Who asks, as the Noise handshake proved it.
    pub peer: DeviceId,
    /// What kind of request.
    pub protocol: Protocol,
    /// The request's bytes, within [`Protocol::request_limit`].
    pub body: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, Decline>>,
}

impl IncomingRequest {
    /// Sends the answer; one above [`Protocol::answer_limit`] becomes a failure. After 30 s it is too late.
    pub fn answer(self, body: Vec<u8>) {
        // The peer may be gone.
        let _ = self.reply.send(Ok(body));
    }

    /// Refuses, with a reason for the person at the other end (cut at 200 bytes).
    pub fn refuse(self, reason: &str) {
        self.decline(Decline::Refused(reason.to_owned()));
    }

    /// Gives no answer, and says which sort of no.
    pub fn decline(self, decline: Decline) {
        let _ = self.reply.send(Err(decline));
    }
}

impl std::fmt::Debug for IncomingRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingRequest")
            .field("peer", &self.peer)
            .field("protocol", &self.protocol)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Serves one stream that an allowed device opened; the place is given back at the end.
pub(crate) async fn serve(
    mut stream: Stream,
    peer: DeviceId,
    protocol: Protocol,
    (door, timing): (Door, Timing),
    _place: Slot,
) {
    let patience = Patience { first_byte: timing.first_byte, idle: timing.idle, frame: timing.frame };
    let answer = match read_frame(&mut stream, protocol.request_limit(), patience).await {
        Ok(Some(body)) => ask(body, peer, protocol, (&door, timing)).await,
        Ok(None) => return,
        Err(NetError::TooLarge { .. }) => {
            door.refused(Some(peer), DenyReason::Malformed, "request above its size limit");
            Err(Decline::failed("request too large"))
        }
        Err(error) => {
            tracing::debug!(?peer, ?protocol, %error, "a request did not arrive");
            return;
        }
    };
    if let Err(error) = respond(&mut stream, answer, protocol.answer_limit(), timing.idle).await {
        tracing::debug!(?peer, ?protocol, %error, "an answer was not delivered");
    }
}

/// Sends a stream away without reading it, to come again later.
pub(crate) async fn put_off(mut stream: Stream, reason: &'static str, idle: Duration) {
    if let Err(error) = respond(&mut stream, Err(Decline::Later(reason.to_owned())), 0, idle).await {
        tracing::debug!(%error, "a refusal was not delivered");
    }
}

/// Puts the request before the node and waits for what it says.
async fn ask(
    body: Vec<u8>,
    peer: DeviceId,
    protocol: Protocol,
    (door, timing): (&Door, Timing),
) -> Result<Vec<u8>, Decline> {
    let (reply, answer) = oneshot::channel();
    if !door.tell(NetEvent::Request(IncomingRequest { peer, protocol, body, reply })) {
        return Err(Decline::Later("busy".to_owned()));
    }
    match tokio::time::timeout(timing.idle, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(Decline::failed("no answer")),
    }
}

async fn respond(
    stream: &mut Stream,
    answer: Result<Vec<u8>, Decline>,
    limit: usize,
    idle: Duration,
) -> Result<(), NetError> {
    let fits = |body: Vec<u8>| {
        if body.len() > limit { Err(Decline::failed("answer too large")) } else { Ok(body) }
    };
    let answer = answer.and_then(fits);
    let frame_limit = limit.max(REASON_BYTES) + 1;
    match &answer {
        Ok(body) => write_frame(stream, &[&[OK], body], frame_limit, idle).await?,
        Err(decline) => {
            let (status, reason) = decline.parts();
            write_frame(stream, &[&[status], cut(reason).as_bytes()], frame_limit, idle).await?;
        }
    }
    tokio::time::timeout(idle, stream.close())
        .await
        .map_err(|_| NetError::Timeout("closing a stream"))?
        .map_err(crate::frame::lost)
}

/// Sends one request on a fresh stream and reads its answer.
///
/// Reading goes on beside writing, so that an early refusal of a large request arrives.
pub(crate) async fn exchange(
    stream: Stream,
    protocol: Protocol,
    body: &[u8],
    timing: Timing,
) -> Result<Vec<u8>, NetError> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        write_frame(&mut writer, &[body], protocol.request_limit(), timing.idle).await?;
        writer.flush().await.map_err(crate::frame::lost)
    };
    // The peer may think for as long as it may be idle, once it has the whole request.
    let patience =
        Patience { first_byte: timing.frame + timing.idle, idle: timing.idle, frame: timing.frame };
    let read = read_frame(&mut reader, protocol.answer_limit().max(REASON_BYTES) + 1, patience);
    tokio::pin!(read);
    let early = tokio::select! {
        answer = &mut read => Some(answer),
        written = write => {
            // A refused writer still finds the reason on the reading side.
            if let Err(error) = written {
                tracing::debug!(%error, "a request was not read to its end");
            }
            None
        }
    };
    let answer = match early {
        Some(answer) => answer,
        // Its patience bounds it; one limit for the whole would cut off a slow line that makes progress.
        None => read.await,
    };
    let mut answer = answer?.ok_or_else(|| crate::frame::lost(std::io::ErrorKind::UnexpectedEof.into()))?;
    match answer.first() {
        Some(&OK) => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&REFUSED) => Err(NetError::Refused { reason: reason(&answer[1..]) }),
        Some(&LATER) => Err(NetError::Later { reason: reason(&answer[1..]) }),
        Some(&FAILED) => Err(NetError::Failed { reason: reason(&answer[1..]) }),
        _ => Err(NetError::Malformed("unknown status of an answer")),
    }
}

/// The peer's words as they may be shown: bounded, and nothing a terminal would act on.
fn reason(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_BYTES)]);
    text.chars().filter(|c| !c.is_control()).collect()
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters_and_cleaned() {
        assert_eq!(cut(&"é".repeat(150)).len(), 200);
        assert_eq!(cut(&format!("a{}", "é".repeat(150))).len(), 199);
        assert_eq!(reason(b"no\x1b[2J grant\n"), "no[2J grant");
        assert!(reason(&[0xff; 1000]).len() <= 600);
    }
}
