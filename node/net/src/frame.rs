//! Frames: a length (u32, big-endian), then that many bytes.
//!
//! The length is checked before memory is taken for it, and memory grows only as bytes really arrive, so a
//! peer that claims a gigabyte costs four bytes.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::NetError;

/// Bytes asked of the stream at once, and so the most memory that a claimed length costs by itself.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a frame may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until the first byte.
    pub(crate) first_byte: Duration,
    /// Between two reads after that.
    pub(crate) idle: Duration,
    /// From the first byte to the last.
    pub(crate) frame: Duration,
}

/// Reads one frame; none when the peer closed before its first byte.
///
/// # Errors
/// [`NetError::TooLarge`] when the length is above `limit`, [`NetError::Timeout`], [`NetError::Lost`].
///
/// Dropping the future loses what it read: give each stream a task of its own.
pub(crate) async fn read_frame<R>(
    reader: &mut R,
    limit: usize,
    patience: Patience,
) -> Result<Option<Vec<u8>>, NetError>
where
    R: AsyncRead + Unpin,
{
    let mut head = [0u8; 4];
    let first = timeout(patience.first_byte, reader.read(&mut head[..1])).await;
    if first.map_err(|_| NetError::Timeout("waiting for the first byte"))?.map_err(lost)? == 0 {
        return Ok(None);
    }
    let deadline = Instant::now() + patience.frame;
    let idle = patience.idle;
    let mut filled = 1;
    while filled < head.len() {
        filled += some(step(deadline, idle, reader.read(&mut head[filled..])).await?)?;
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > limit {
        return Err(NetError::TooLarge { what: "a frame", size: length as u64, limit: limit as u64 });
    }
    let mut body = Vec::new();
    let mut chunk = vec![0u8; length.min(CHUNK_BYTES)];
    while body.len() < length {
        let want = (length - body.len()).min(chunk.len());
        let got = some(step(deadline, idle, reader.read(&mut chunk[..want])).await?)?;
        body.extend_from_slice(&chunk[..got]);
    }
    Ok(Some(body))
}

/// Writes one frame and flushes it; each write that makes no progress for `idle` is given up.
///
/// # Errors
/// [`NetError::TooLarge`] before anything is written, [`NetError::Timeout`], [`NetError::Lost`].
pub(crate) async fn write_frame<W>(
    writer: &mut W,
    parts: &[&[u8]],
    limit: usize,
    idle: Duration,
) -> Result<(), NetError>
where
    W: AsyncWrite + Unpin,
{
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let too_large = || NetError::TooLarge { what: "a frame", size: length as u64, limit: limit as u64 };
    let head = u32::try_from(length).map_err(|_| too_large())?.to_be_bytes();
    if length > limit {
        return Err(too_large());
    }
    // One buffer: a write of four bytes by itself would cost a packet.
    let mut bytes = Vec::with_capacity(head.len() + length);
    bytes.extend_from_slice(&head);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let stalled = |_| NetError::Timeout("writing to the peer");
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let sent = some(timeout(idle, writer.write(rest)).await.map_err(stalled)?.map_err(lost)?)?;
        rest = &rest[sent..];
    }
    timeout(idle, writer.flush()).await.map_err(stalled)?.map_err(lost)
}

/// One read that may take `idle` at most and must end by the deadline.
async fn step(
    deadline: Instant,
    idle: Duration,
    read: impl Future<Output = io::Result<usize>>,
) -> Result<usize, NetError> {
    let until = deadline.min(Instant::now() + idle);
    timeout_at(until, read).await.map_err(|_| NetError::Timeout("reading from the peer"))?.map_err(lost)
}

/// No bytes where some must come means that the peer is gone.
fn some(count: usize) -> Result<usize, NetError> {
    if count == 0 { Err(lost(io::ErrorKind::UnexpectedEof.into())) } else { Ok(count) }
}

/// A stream error as the caller sees it.
pub(crate) fn lost(source: io::Error) -> NetError {
    NetError::Lost(source.into())
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    const SOON: Patience = Patience {
        first_byte: Duration::from_millis(50),
        idle: Duration::from_millis(50),
        frame: Duration::from_millis(200),
    };

    #[tokio::test]
    async fn frames_arrive_as_they_were_sent() {
        for size in [0usize, 1, 3, 65_536, 65_537, 300_000] {
            let body: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let mut wire = Cursor::new(Vec::new());
            write_frame(&mut wire, &[&body], 300_000, SOON.idle).await.unwrap();
            wire.set_position(0);
            assert_eq!(read_frame(&mut wire, 300_000, SOON).await.unwrap(), Some(body));
            assert_eq!(read_frame(&mut wire, 300_000, SOON).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn claimed_length_above_the_limit_is_refused_unread() {
        let mut wire = Cursor::new((1u32 << 30).to_be_bytes().to_vec());
        let error = read_frame(&mut wire, 1 << 20, SOON).await.unwrap_err();
        assert!(matches!(error, NetError::TooLarge { size: 1_073_741_824, .. }), "{error}");
        let error = write_frame(&mut Cursor::new(Vec::new()), &[&[0; 11]], 10, SOON.idle).await.unwrap_err();
        assert!(matches!(error, NetError::TooLarge { size: 11, limit: 10, .. }), "{error}");
    }

    #[tokio::test]
    async fn truncated_frames_are_lost_connections() {
        let mut wire = Cursor::new(Vec::new());
        write_frame(&mut wire, &[b"consent"], 100, SOON.idle).await.unwrap();
        let bytes = wire.into_inner();
        for cut in 1..bytes.len() {
            let error = read_frame(&mut Cursor::new(bytes[..cut].to_vec()), 100, SOON).await.unwrap_err();
            assert!(matches!(error, NetError::Lost(_)), "{cut}: {error}");
        }
    }

    #[tokio::test]
    async fn silent_and_trickling_peers_are_given_up() {
        let (near, far) = tokio::io::duplex(64);
        let (mut near, mut far) = (near.compat(), far.compat());
        let error = read_frame(&mut near, 100, SOON).await.unwrap_err();
        assert!(matches!(error, NetError::Timeout(_)), "{error}");

        let trickle = tokio::spawn(async move {
            far.write_all(&100u32.to_be_bytes()).await.unwrap();
            while far.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let began = Instant::now();
        let error = read_frame(&mut near, 100, SOON).await.unwrap_err();
        assert!(matches!(error, NetError::Timeout(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2));
        drop(near);
        trickle.await.unwrap();
    }
}
