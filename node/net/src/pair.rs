//! A pairing stream: frames in both directions between two devices that need not know each other.
//!
//! Here are only bytes and time limits; what the frames mean is decided by the pairing protocol above.

use keys::DeviceId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::NetError;
use crate::framed::{FrameReceiver, FrameSender, Guard, Rules, framed};
use crate::protocol::{PAIR_FRAME_BYTES, Timing};
use crate::streams::Line;

/// The first frames of each side are answers of a machine and may not be waited for; after them a person reads
/// a check aloud. One more than this number is ever sent by either side.
const PROMPT_FRAMES: usize = 3;
/// Frames that wait for [`PairStream::recv`].
const QUEUED_FRAMES: usize = 4;

/// An open pairing stream with a Noise-authenticated device. Dropping it ends the pairing, and the connection
/// too when the device is not on the allow list by then.
pub struct PairStream {
    peer: DeviceId,
    sender: FrameSender,
    receiver: FrameReceiver,
    /// Dropped with the stream: the swarm task then no longer holds the connection.
    _held: oneshot::Sender<()>,
    /// The one place for a pairing that another device began.
    _place: Option<OwnedSemaphorePermit>,
}

impl PairStream {
    pub(crate) fn new(
        peer: DeviceId,
        line: Line,
        held: oneshot::Sender<()>,
        place: Option<OwnedSemaphorePermit>,
        timing: Timing,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let rules = Rules {
            frame_bytes: PAIR_FRAME_BYTES,
            queued_frames: QUEUED_FRAMES,
            first_byte: timing.first_byte,
            idle: timing.idle,
            prompt_frames: PROMPT_FRAMES,
            whole: Some(timing.pairing),
            pace: None,
        };
        let (sender, receiver) = framed(line, rules, Guard::new(peer, cancel, None), tasks);
        Self { peer, sender, receiver, _held: held, _place: place }
    }

    /// The device at the other end, as the Noise handshake proved it.
    pub fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Sends one frame of at most 4 KiB.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Timeout`] after 30 s without progress, [`NetError::Lost`],
    /// [`NetError::Stopped`].
    ///
    /// Not to be dropped half way: the peer would see a torn frame.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), NetError> {
        self.sender.send(&frame).await
    }

    /// The next frame; none when the peer closed. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::Timeout`] when the first byte does not come within 10 s, one of the first three frames
    /// within 30 s, or the whole takes more than 10 minutes; [`NetError::TooLarge`], [`NetError::Lost`],
    /// [`NetError::Stopped`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        self.receiver.recv().await
    }

    /// Tells the peer that no more frames come, after all sent ones.
    pub async fn close(self) {
        self.sender.close().await;
    }
}

impl std::fmt::Debug for PairStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}
