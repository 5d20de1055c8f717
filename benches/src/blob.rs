//! An attachment from one device to another, beside the same bytes over a raw stream of the same transport.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use iroh::endpoint::presets;
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};
use net::{Blobs, NetEvent, Network, NetworkConfig};
use zeroize::Zeroizing;

use crate::report::Measured;

const BYTES: usize = 64 << 20;
const ROUNDS: u8 = 5;
const ALPN: &[u8] = b"metaclinic-bench/raw/1";

/// Rates of both, in turn, and their ratio.
pub(crate) fn fetch() -> Result<Measured, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let (mut blobs, mut raw) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let bytes: Vec<u8> =
            (0..BYTES).map(|i| ((i as u64).wrapping_mul(2_654_435_761) >> 13) as u8 ^ round).collect();
        raw.push(runtime.block_on(raw_stream(bytes.clone()))?);
        blobs.push(runtime.block_on(one_blob(bytes))?);
    }
    let rate = |times: &mut Vec<Duration>| {
        times.sort();
        BYTES as f64 / 1e6 / times[times.len() / 2].as_secs_f64()
    };
    let (blobs, raw) = (rate(&mut blobs), rate(&mut raw));
    let mut measured = Measured::new(
        "blob",
        format!(
            "{} MiB on loopback, {ROUNDS} rounds in turn, medians; file to file with the hash checked, beside a raw iroh stream from memory to memory",
            BYTES >> 20
        ),
    );
    measured.figure("attachment, MB/s", blobs);
    measured.figure("raw iroh stream, MB/s", raw);
    measured.at_least("ratio", blobs / raw, 0.7);
    Ok(measured)
}

async fn device(
    seed: u8,
) -> Result<(Network, tokio::sync::mpsc::Receiver<NetEvent>, Blobs, tempfile::TempDir), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let blobs = Blobs::open(folder.path()).await.map_err(|error| error.to_string())?;
    let config = NetworkConfig {
        seed: Zeroizing::new([seed; 32]),
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        blob_bind: None,
        agent: "metaclinic-bench/1".to_owned(),
        mdns: false,
        answers_searches: false,
    };
    let (network, events) = Network::start(config, blobs.clone()).await.map_err(|error| error.to_string())?;
    Ok((network, events, blobs, folder))
}

async fn one_blob(bytes: Vec<u8>) -> Result<Duration, String> {
    let (from, mut events, blobs, _kept) = device(1).await?;
    let (to, _others, _store, _kept_too) = device(2).await?;
    from.allow(HashSet::from([to.device()]));
    to.allow(HashSet::from([from.device()]));
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let NetEvent::Blob { answer, .. } = event {
                let _ = answer.send(true);
            }
        }
    });
    let hash = blobs.add(bytes).await.map_err(|error| error.to_string())?;
    let started = Instant::now();
    to.fetch_blob(hash, from.device(), &from.blob_addresses(), BYTES as u64)
        .await
        .map_err(|error| error.to_string())?;
    let took = started.elapsed();
    tokio::join!(from.shutdown(), to.shutdown());
    Ok(took)
}

async fn endpoint(seed: u8) -> Result<Endpoint, String> {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&[seed; 32]))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .map_err(|error| error.to_string())?
        .bind()
        .await
        .map_err(|error| error.to_string())
}

async fn raw_stream(bytes: Vec<u8>) -> Result<Duration, String> {
    let (from, to) = (endpoint(3).await?, endpoint(4).await?);
    let socket = *from.bound_sockets().first().ok_or("no socket")?;
    let server = from.clone();
    tokio::spawn(async move {
        let connection = server.accept().await?.await.ok()?;
        let mut stream = connection.open_uni().await.ok()?;
        stream.write_all(&bytes).await.ok()?;
        stream.finish().ok()?;
        connection.closed().await;
        Some(())
    });
    let started = Instant::now();
    let address = EndpointAddr::new(from.id()).with_ip_addr(socket);
    let connection = to.connect(address, ALPN).await.map_err(|error| error.to_string())?;
    let mut stream = connection.accept_uni().await.map_err(|error| error.to_string())?;
    let received = stream.read_to_end(BYTES + 1).await.map_err(|error| error.to_string())?;
    let took = started.elapsed();
    connection.close(0u32.into(), b"done");
    if received.len() != BYTES {
        return Err("the raw stream broke off".to_owned());
    }
    tokio::join!(from.close(), to.close());
    Ok(took)
}
