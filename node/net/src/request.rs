//! One request, one answer, on a stream of its own.
//!
//! The answer frame begins with a status byte: 0, then the answer; or 1, then the reason as UTF-8 text of at
//! most 200 bytes.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use keys::DeviceId;
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
/// Longest reason of a refusal in bytes.
const REASON_BYTES: usize = 200;

/// A request of an allowed device, waiting for its answer. Dropping it refuses it.
pub struct IncomingRequest {
    /// Who asks, as the Noise handshake proved it.
    pub peer: DeviceId,
    /// What kind of request.
    pub protocol: Protocol,
    /// The request's bytes, within [`Protocol::frame_limit`].
    pub body: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, String>>,
}

impl IncomingRequest {
    /// Sends the answer; one above [`Protocol::frame_limit`] becomes a refusal. After 30 s it is too late.
    pub fn answer(self, body: Vec<u8>) {
        // The peer may be gone.
        let _ = self.reply.send(Ok(body));
    }

    /// Refuses, with a reason for the person at the other end (cut at 200 bytes).
    pub fn refuse(self, reason: &str) {
        let _ = self.reply.send(Err(reason.to_owned()));
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
    let limit = protocol.frame_limit();
    let patience = Patience { first_byte: timing.first_byte, idle: timing.idle, frame: timing.frame };
    let answer = match read_frame(&mut stream, limit, patience).await {
        Ok(Some(body)) => ask(body, peer, protocol, (&door, timing)).await,
        Ok(None) => return,
        Err(NetError::TooLarge { .. }) => {
            door.refused(Some(peer), "request above its size limit");
            Err("request too large".to_owned())
        }
        Err(error) => {
            tracing::debug!(?peer, ?protocol, %error, "a request did not arrive");
            return;
        }
    };
    if let Err(error) = respond(&mut stream, answer, limit, timing.idle).await {
        tracing::debug!(?peer, ?protocol, %error, "an answer was not delivered");
    }
}

/// Refuses a stream without reading it.
pub(crate) async fn refuse(mut stream: Stream, reason: &'static str, idle: Duration) {
    if let Err(error) = respond(&mut stream, Err(reason.to_owned()), 0, idle).await {
        tracing::debug!(%error, "a refusal was not delivered");
    }
}

/// Puts the request before the node and waits for what it says.
async fn ask(
    body: Vec<u8>,
    peer: DeviceId,
    protocol: Protocol,
    (door, timing): (&Door, Timing),
) -> Result<Vec<u8>, String> {
    let (reply, answer) = oneshot::channel();
    if !door.tell(NetEvent::Request(IncomingRequest { peer, protocol, body, reply })) {
        return Err("busy".to_owned());
    }
    match tokio::time::timeout(timing.idle, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err("no answer".to_owned()),
    }
}

async fn respond(
    stream: &mut Stream,
    answer: Result<Vec<u8>, String>,
    limit: usize,
    idle: Duration,
) -> Result<(), NetError> {
    let answer = answer
        .and_then(|body| if body.len() > limit { Err("answer too large".to_owned()) } else { Ok(body) });
    let frame_limit = limit.max(REASON_BYTES) + 1;
    match &answer {
        Ok(body) => write_frame(stream, &[&[OK], body], frame_limit, idle).await?,
        Err(reason) => {
            let reason = cut(reason);
            write_frame(stream, &[&[REFUSED], reason.as_bytes()], frame_limit, idle).await?;
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
    let limit = protocol.frame_limit();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        write_frame(&mut writer, &[body], limit, timing.idle).await?;
        writer.flush().await.map_err(crate::frame::lost)
    };
    // The peer may think for as long as it may be idle, once it has the whole request.
    let patience =
        Patience { first_byte: timing.frame + timing.idle, idle: timing.idle, frame: timing.frame };
    let read = read_frame(&mut reader, limit.max(REASON_BYTES) + 1, patience);
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
        None => tokio::time::timeout(timing.idle, read)
            .await
            .map_err(|_| NetError::Timeout("waiting for the answer"))?,
    };
    let mut answer = answer?.ok_or_else(|| crate::frame::lost(std::io::ErrorKind::UnexpectedEof.into()))?;
    match answer.first() {
        Some(&OK) => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&REFUSED) => Err(NetError::Refused { reason: reason(&answer[1..]) }),
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
