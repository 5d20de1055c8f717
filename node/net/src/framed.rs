//! Frames in both directions on one stream that stays open; the pairing and the room streams are made of it.
//!
//! A task of its own reads, so that receiving can be given up at any time without tearing a frame. It reads the
//! next frame only when there is a place for it, so a node that lags behind slows its peer down.

use std::time::Duration;

use futures::AsyncWriteExt;
use futures::io::{AsyncReadExt, ReadHalf, WriteHalf};
use keys::DeviceId;
use libp2p::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::error::NetError;
use crate::frame::{Patience, lost, read_frame, write_frame};
use crate::limit::Pace;
use crate::streams::Line;

/// What a stream may carry, and how long its reader waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Largest frame in bytes, in both directions.
    pub(crate) frame_bytes: usize,
    /// Frames that wait for [`FrameReceiver::recv`].
    pub(crate) queued_frames: usize,
    /// Until the first byte of the first frame.
    pub(crate) first_byte: Duration,
    /// Two bytes of one frame and a whole frame; also until the first byte of a prompt frame.
    pub(crate) idle: Duration,
    /// How many of the first frames come promptly; there may be any time before a later one.
    pub(crate) prompt_frames: usize,
    /// From the opening of the stream to its end.
    pub(crate) whole: Option<Duration>,
    /// Bytes and frames that are taken; what comes faster waits in the sender.
    pub(crate) pace: Option<(Pace, Pace)>,
}

/// What ends a stream whatever its peer does.
#[derive(Clone)]
pub(crate) struct Guard {
    peer: DeviceId,
    cancel: CancellationToken,
    /// Present when only devices on the allow list may use the stream.
    door: Option<Door>,
}

impl Guard {
    pub(crate) fn new(peer: DeviceId, cancel: &CancellationToken, door: Option<Door>) -> Self {
        Self { peer, cancel: cancel.clone(), door }
    }

    /// Resolves when the stream may not go on, with the reason.
    async fn ended(&self) -> NetError {
        let expelled = async {
            match &self.door {
                Some(door) => door.expelled(&self.peer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => NetError::Stopped,
            () = expelled => NetError::NotAllowed(self.peer),
        }
    }
}

/// Makes the two ends of a stream; the stream ends when both are gone.
pub(crate) fn framed(
    Line { stream, closed }: Line,
    rules: Rules,
    guard: Guard,
    tasks: &TaskTracker,
) -> (FrameSender, FrameReceiver) {
    let (reader, outgoing) = stream.split();
    let (frames, incoming) = mpsc::channel(rules.queued_frames);
    let dropped = guard.cancel.child_token();
    let sender = FrameSender { outgoing, rules, guard: guard.clone(), closed: closed.clone() };
    let task = dropped.clone().run_until_cancelled_owned({
        let guard = guard.clone();
        async move {
            tokio::select! {
                biased;
                _ = guard.ended() => {}
                () = read_frames(reader, frames, rules, &closed) => {}
            }
        }
    });
    tasks.spawn(task);
    (sender, FrameReceiver { incoming, guard, _reader: dropped.drop_guard() })
}

/// The sending end.
pub(crate) struct FrameSender {
    outgoing: WriteHalf<Stream>,
    rules: Rules,
    guard: Guard,
    closed: CancellationToken,
}

impl FrameSender {
    /// Sends one frame and flushes it. Not to be dropped half way: the peer would see a torn frame.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), NetError> {
        let Rules { frame_bytes, idle, .. } = self.rules;
        let parts = [frame];
        tokio::select! {
            biased;
            why = self.guard.ended() => Err(why),
            () = self.closed.cancelled() => Err(gone()),
            sent = write_frame(&mut self.outgoing, &parts, frame_bytes, idle) => sent,
        }
    }

    /// Tells the peer that no more frames come, after all sent ones.
    pub(crate) async fn close(mut self) {
        if !matches!(tokio::time::timeout(self.rules.idle, self.outgoing.close()).await, Ok(Ok(()))) {
            tracing::debug!(peer = ?self.guard.peer, "a stream was lost before it closed");
        }
    }
}

/// The receiving end.
pub(crate) struct FrameReceiver {
    incoming: mpsc::Receiver<Result<Vec<u8>, NetError>>,
    guard: Guard,
    _reader: DropGuard,
}

impl FrameReceiver {
    /// The next frame; none when the peer closed or after an error. Dropping the future loses nothing.
    pub(crate) async fn recv(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        tokio::select! {
            biased;
            why = self.guard.ended() => Err(why),
            frame = self.incoming.recv() => frame.transpose(),
        }
    }
}

fn gone() -> NetError {
    lost(std::io::ErrorKind::ConnectionAborted.into())
}

async fn read_frames(
    mut reader: ReadHalf<Stream>,
    frames: mpsc::Sender<Result<Vec<u8>, NetError>>,
    mut rules: Rules,
    closed: &CancellationToken,
) {
    let until = rules.whole.map(|whole| Instant::now() + whole);
    for count in 0usize.. {
        // The place first: at most `queued_frames` are in memory, the one on its way included.
        let Ok(place) = frames.reserve().await else { return };
        let rest = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        let first_byte = match count {
            0 => rules.first_byte,
            _ if count < rules.prompt_frames => rules.idle,
            _ => rest,
        };
        let patience =
            Patience { first_byte: first_byte.min(rest), idle: rules.idle, frame: rules.idle.min(rest) };
        let frame = tokio::select! {
            // What arrived before the connection closed is read first.
            biased;
            frame = read_frame(&mut reader, rules.frame_bytes, patience) => frame,
            () = closed.cancelled() => Err(gone()),
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => return place.send(Err(error)),
        };
        let bytes = frame.len();
        place.send(Ok(frame));
        if let Some((by_bytes, by_frames)) = &mut rules.pace {
            let now = std::time::Instant::now();
            let wait = by_bytes.take(now, bytes).max(by_frames.take(now, 1));
            tokio::time::sleep(wait).await;
        }
    }
}
