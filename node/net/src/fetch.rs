//! Fetching one blob over iroh: what is here already is not asked for again, every 16 KiB are verified against
//! the hash before they are kept, and the size limit is checked before any content is taken.

use std::num::NonZeroU64;

use iroh::endpoint::{Connection, ConnectionError, ReadError};
use iroh::{Endpoint, EndpointAddr};
use iroh_blobs::get::fsm::{
    self, AtBlobHeaderNextError, BlobContentNext, ConnectedNext, DecodeError, EndBlobNext,
};
use iroh_blobs::protocol::{ERR_LIMIT, ERR_PERMISSION};
use iroh_blobs::{Hash, HashAndFormat};
use keys::DeviceId;
use tokio::time::timeout;

use crate::blobs::{Blobs, failed};
use crate::error::NetError;
use crate::peer;
use crate::protocol::Timing;

/// Verified pieces on their way to the disk; each is 16 KiB.
const QUEUED_PIECES: usize = 32;

/// Where a blob comes from.
pub(crate) struct From<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) peer: DeviceId,
    pub(crate) addresses: &'a [String],
    pub(crate) timing: Timing,
}

/// Brings the blob into the store and pins it.
pub(crate) async fn fetch(
    blobs: &Blobs,
    hash: [u8; 32],
    from: From<'_>,
    max_bytes: u64,
) -> Result<(), NetError> {
    let hash = Hash::from_bytes(hash);
    if let Some(size) = blobs.size(hash).await? {
        within(size, max_bytes)?;
        return blobs.pin(hash).await;
    }
    let connection = connect(&from).await?;
    let result = download(blobs, &connection, hash, max_bytes, from.timing).await;
    // Why the peer closed says more than the stream that broke with it.
    let closed = connection.close_reason().as_ref().and_then(closed_by_peer);
    connection.close(0u32.into(), b"done");
    result.map_err(|error| closed.unwrap_or(error))?;
    if blobs.size(hash).await?.is_none() {
        return Err(NetError::BlobMissing);
    }
    blobs.pin(hash).await
}

async fn connect(from: &From<'_>) -> Result<Connection, NetError> {
    let sockets = peer::parse_sockets(from.addresses)?;
    let address = EndpointAddr::new(peer::endpoint_id(&from.peer)?);
    let address = sockets.into_iter().fold(address, EndpointAddr::with_ip_addr);
    timeout(from.timing.connect, from.endpoint.connect(address, iroh_blobs::ALPN))
        .await
        .map_err(|_| NetError::Timeout("connecting for a blob"))?
        .map_err(|e| NetError::Unreachable(e.into()))
}

async fn download(
    blobs: &Blobs,
    connection: &Connection,
    hash: Hash,
    max_bytes: u64,
    timing: Timing,
) -> Result<(), NetError> {
    let slow = |_| NetError::Timeout("waiting for a blob");
    let local = blobs.store.remote().local(HashAndFormat::raw(hash)).await.map_err(failed)?;
    let start = fsm::start(connection.clone(), local.missing(), fsm::RequestCounters::default());
    let opened = timeout(timing.connect, start.next()).await.map_err(slow)?;
    let opened = opened.map_err(|e| NetError::Lost(e.into()))?;
    let asked = timeout(timing.idle, opened.next()).await.map_err(slow)?;
    let ConnectedNext::StartRoot(root) = asked.map_err(|e| NetError::Lost(e.into()))? else {
        return Err(NetError::Malformed("a blob request without a blob"));
    };
    // The peer's node decides first, so this is not the wait for a first byte only.
    let header = timeout(timing.idle, root.next().next()).await.map_err(slow)?;
    let (mut content, size) = header.map_err(header_error)?;
    within(size, max_bytes)?;
    let Some(size) = NonZeroU64::new(size) else {
        if hash != Hash::EMPTY {
            return Err(NetError::BlobMissing);
        }
        return blobs.add(Vec::new()).await.map(|_| ());
    };

    let import = blobs.store.blobs().import_bao(hash, size, QUEUED_PIECES).await.map_err(failed)?;
    let pieces = import.tx;
    let receive = async move {
        loop {
            match timeout(timing.idle, content.next()).await.map_err(slow)? {
                BlobContentNext::More((next, piece)) => {
                    pieces.send(piece.map_err(content_error)?).await.map_err(failed)?;
                    content = next;
                }
                BlobContentNext::Done(end) => return Ok(end),
            }
        }
    };
    let keep = async { import.rx.await.map_err(failed)?.map_err(failed) };
    let (received, kept) = tokio::join!(receive, keep);
    let end: fsm::AtEndBlob = received?;
    kept?;
    if let EndBlobNext::Closing(closing) = end.next() {
        // Everything has been verified; how the stream ends does not matter.
        let _ = timeout(timing.idle, closing.next()).await;
    }
    Ok(())
}

fn within(size: u64, max_bytes: u64) -> Result<(), NetError> {
    if size > max_bytes {
        return Err(NetError::TooLarge { what: "a blob", size, limit: max_bytes });
    }
    Ok(())
}

fn header_error(error: AtBlobHeaderNextError) -> NetError {
    match error {
        AtBlobHeaderNextError::NotFound { .. } => NetError::BlobMissing,
        AtBlobHeaderNextError::Read { source, .. } => read_error(source),
    }
}

fn content_error(error: DecodeError) -> NetError {
    match error {
        DecodeError::ChunkNotFound { .. }
        | DecodeError::ParentNotFound { .. }
        | DecodeError::LeafNotFound { .. } => NetError::BlobMissing,
        DecodeError::Read { source, .. } => read_error(source),
        damaged => NetError::BlobDamaged(damaged.into()),
    }
}

/// Reads the provider's reason out of the code with which it reset the stream.
fn read_error(source: std::io::Error) -> NetError {
    let inner = source.get_ref().and_then(|e| e.downcast_ref::<ReadError>());
    match inner {
        Some(ReadError::Reset(code)) if *code == ERR_PERMISSION => {
            NetError::Refused { reason: "not allowed to have this blob".to_owned() }
        }
        Some(ReadError::Reset(code)) if *code == ERR_LIMIT => busy(),
        Some(ReadError::Reset(_)) => NetError::BlobMissing,
        _ => NetError::Lost(source.into()),
    }
}

/// What the peer says by closing the connection; none when it is not a no.
fn closed_by_peer(reason: &ConnectionError) -> Option<NetError> {
    match reason {
        ConnectionError::ApplicationClosed(close) if close.error_code == ERR_PERMISSION => {
            Some(NetError::Refused { reason: "this device is not allowed".to_owned() })
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == ERR_LIMIT => Some(busy()),
        _ => None,
    }
}

fn busy() -> NetError {
    NetError::Later { reason: "too many attachments asked for".to_owned() }
}
