//! A room stream: frames in both directions between two allowed devices, open for as long as both like.
//!
//! Here are only bytes, rates and time limits; what the frames mean is decided by the room's sync above.

use std::sync::Arc;
use std::time::Duration;

use keys::DeviceId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::error::NetError;
use crate::framed::{FrameReceiver, FrameSender, Guard, Rules, framed};
use crate::limit::{Pace, Slot, Slots};
use crate::protocol::{ROOM_BYTES, ROOM_FRAME_BYTES, ROOM_FRAMES, Timing};
use crate::streams::Line;

/// Room streams with one device, in both directions together.
const STREAMS_PER_PEER: usize = 64;
/// Room streams with all devices.
const STREAMS: usize = 4_096;
/// Frames that wait for [`RoomReceiver::recv`]: one, so that a stream costs 1 MiB at most.
const QUEUED_FRAMES: usize = 1;

/// The places for room streams of one network.
pub(crate) fn places() -> Slots {
    Slots::new(STREAMS_PER_PEER, STREAMS)
}

/// An open room stream with an allowed device. It ends when the device leaves the allow list, and when both of
/// its halves are dropped.
pub struct RoomStream {
    peer: DeviceId,
    sender: RoomSender,
    receiver: RoomReceiver,
}

impl RoomStream {
    /// `first_byte` is the time until the first byte of the peer.
    pub(crate) fn new(
        line: Line,
        (peer, place): (DeviceId, Slot),
        door: Door,
        (first_byte, timing): (Duration, Timing),
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let rules = Rules {
            frame_bytes: ROOM_FRAME_BYTES,
            queued_frames: QUEUED_FRAMES,
            first_byte,
            idle: timing.idle,
            prompt_frames: 1,
            whole: None,
            pace: Some((Pace::new(ROOM_BYTES), Pace::new(ROOM_FRAMES))),
        };
        let (sender, receiver) = framed(line, rules, Guard::new(peer, cancel, Some(door)), tasks);
        let place = Arc::new(place);
        let sender = RoomSender { sender, _place: Arc::clone(&place) };
        Self { peer, sender, receiver: RoomReceiver { receiver, _place: place } }
    }

    /// The device at the other end, as the Noise handshake proved it.
    pub fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Both halves, for tasks of their own. The one place that the stream takes is free when both are dropped.
    pub fn split(self) -> (RoomSender, RoomReceiver) {
        (self.sender, self.receiver)
    }
}

impl std::fmt::Debug for RoomStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The sending half of a [`RoomStream`].
pub struct RoomSender {
    sender: FrameSender,
    _place: Arc<Slot>,
}

impl RoomSender {
    /// Sends one frame of at most 1 MiB. The peer takes 4 MiB and 400 frames a second after a first 8 MiB and
    /// 400 frames; beyond that, and while it is busy, this waits.
    ///
    /// # Errors
    /// [`NetError::TooLarge`] before anything is sent; [`NetError::Timeout`] after 30 s without progress;
    /// [`NetError::NotAllowed`] once the peer has left the allow list; [`NetError::Lost`],
    /// [`NetError::Stopped`].
    ///
    /// Not to be dropped half way: the peer would see a torn frame.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), NetError> {
        self.sender.send(&frame).await
    }

    /// Tells the peer that no more frames come, after all sent ones.
    pub async fn close(self) {
        self.sender.close().await;
    }
}

impl std::fmt::Debug for RoomSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoomSender")
    }
}

/// The receiving half of a [`RoomStream`].
pub struct RoomReceiver {
    receiver: FrameReceiver,
    _place: Arc<Slot>,
}

impl RoomReceiver {
    /// The next frame; none when the peer closed, and after an error. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::Timeout`] when the peer's first byte does not come within 10 s (30 s at the side that opened
    /// the stream) or a frame takes more than 30 s; between frames there may be any time. [`NetError::TooLarge`],
    /// [`NetError::Lost`]; [`NetError::NotAllowed`] once the peer has left the allow list, [`NetError::Stopped`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, NetError> {
        self.receiver.recv().await
    }
}

impl std::fmt::Debug for RoomReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoomReceiver")
    }
}
