//! A pairing stream: frames in both directions between two devices that need not know each other.
//!
//! Here are only bytes and time limits; what the frames mean is decided by the pairing protocol above.

use std::time::Duration;

use futures::AsyncWriteExt;
use futures::io::{AsyncReadExt, ReadHalf, WriteHalf};
use keys::DeviceId;
use libp2p::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::NetError;
use crate::frame::{Patience, read_frame, write_frame};
use crate::protocol::{PAIR_FRAME_BYTES, Timing};

/// The first frames of each side are answers of a machine and may not be waited for; after them a person reads
/// a check aloud. One more than this number is ever sent by either side.
const PROMPT_FRAMES: usize = 3;
/// Frames that wait for [`PairStream::recv`].
const QUEUED_FRAMES: usize = 4;

/// An open pairing stream with a Noise-authenticated device. Dropping it ends the pairing, and the connection
/// too when the device is not on the allow list by then.
pub struct PairStream {
    peer: DeviceId,
    outgoing: WriteHalf<Stream>,
    incoming: mpsc::Receiver<Result<Vec<u8>, NetError>>,
    idle: Duration,
    _reader: DropGuard,
    /// Dropped with the stream: the swarm task then no longer holds the connection.
    _held: oneshot::Sender<()>,
    /// The one place for a pairing that another device began.
    _place: Option<OwnedSemaphorePermit>,
}

impl PairStream {
    pub(crate) fn new(
        peer: DeviceId,
        stream: Stream,
        held: oneshot::Sender<()>,
        place: Option<OwnedSemaphorePermit>,
        timing: Timing,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let (reader, outgoing) = stream.split();
        let (frames, incoming) = mpsc::channel(QUEUED_FRAMES);
        let ended = cancel.child_token();
        let task = ended.clone().run_until_cancelled_owned(read_frames(reader, frames, timing));
        tasks.spawn(task);
        let _reader = ended.drop_guard();
        Self { peer, outgoing, incoming, idle: timing.idle, _reader, _held: held, _place: place }
    }

    /// The device at the other end, as the Noise handshake proved it.
    pub fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Sends one frame of at most 4 KiB.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Timeout`] after 30 s without progress, [`NetError::Lost`].
    ///
    /// Not to be dropped half way: the peer would see a torn frame.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), NetError> {
        write_frame(&mut self.outgoing, &[&frame], PAIR_FRAME_BYTES, self.idle).await
    }

    /// The next frame; none when the peer closed. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::Timeout`] when the first byte does not come within 10 s, one of the first three frames
    /// within 30 s, or the whole takes more than 10 minutes; [`NetError::TooLarge`], [`NetError::Lost`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        self.incoming.recv().await.transpose()
    }

    /// Tells the peer that no more frames come, after all sent ones.
    pub async fn close(mut self) {
        if !matches!(tokio::time::timeout(self.idle, self.outgoing.close()).await, Ok(Ok(()))) {
            tracing::debug!(peer = ?self.peer, "the pairing stream was lost before it closed");
        }
    }
}

impl std::fmt::Debug for PairStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

async fn read_frames(
    mut reader: ReadHalf<Stream>,
    frames: mpsc::Sender<Result<Vec<u8>, NetError>>,
    timing: Timing,
) {
    let until = Instant::now() + timing.pairing;
    for count in 0.. {
        let rest = until.saturating_duration_since(Instant::now());
        let first_byte = match count {
            0 => timing.first_byte,
            1..PROMPT_FRAMES => timing.idle,
            _ => rest,
        };
        let patience =
            Patience { first_byte: first_byte.min(rest), idle: timing.idle, frame: timing.idle.min(rest) };
        let frame = match read_frame(&mut reader, PAIR_FRAME_BYTES, patience).await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = frame.is_err();
        if frames.send(frame).await.is_err() || last {
            return;
        }
    }
}
