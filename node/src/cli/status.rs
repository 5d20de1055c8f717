//! `metaclinic status`

use std::time::Duration;

use super::{Context, output};
use crate::api::types::{MemberLag, Peer, RoomLag, Status};
use crate::service::problem::Problem;

/// A daemon that takes longer to say how it is hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(context: &Context) -> Result<(), Problem> {
    let asked = context.with_client(async |client| {
        let answer = tokio::time::timeout(ANSWER_LIMIT, client.get("/api/v1/status")).await;
        answer.unwrap_or_else(|_| {
            Err(Problem::failed("the daemon of this home runs but does not answer")
                .next("stop it (SIGTERM, then SIGKILL) and start it again: nothing acknowledged is lost"))
        })
    });
    let status: Status = asked.await?;
    let trouble = status.trouble.join("; ");
    if context.global.json {
        output::json(&status);
    } else {
        show(status);
    }
    if trouble.is_empty() {
        return Ok(());
    }
    Err(Problem::failed(format!("the store is not well: {trouble}"))
        .next("free space on the disk if it is full, start the daemon again, then: metaclinic records verify")
        .shown())
}

fn show(status: Status) {
    let (peers, lag) = (status.peers.iter().map(peer_row).collect::<Vec<_>>(), lag_rows(&status.lag));
    let running =
        if status.daemon { format!("running for {} s", status.uptime_s) } else { "not running".to_owned() };
    let connected = status.peers.iter().filter(|p| p.connected).count();
    output::facts([
        ("name", format!("{} ({})", status.name, status.role)),
        ("identity", status.identity),
        ("home", status.home),
        ("daemon", running),
        ("records", status.records.to_string()),
        ("rooms", status.rooms.len().to_string()),
        ("audit", format!("{} entries", status.audit_entries)),
        ("peers", format!("{} paired, {connected} connected", status.peers.len())),
        ("listen", status.listen.join("\n")),
    ]);
    if !peers.is_empty() {
        output::line("");
        output::table(["peer", "role", "seen", "round trip", "identity"], peers);
    }
    if !lag.is_empty() {
        output::line("");
        output::table(["room", "member", "state", "last in step"], lag);
    }
}

fn peer_row(peer: &Peer) -> [String; 5] {
    let since = peer.connected_since.as_ref().map(|since| format!("connected since {since}"));
    let seen = since.or_else(|| peer.last_seen.clone()).unwrap_or_else(|| "never".to_owned());
    let round_trip = peer.round_trip_ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default();
    [peer.name.clone(), peer.role.clone(), seen, round_trip, peer.identity.clone()]
}

fn lag_rows(lag: &[RoomLag]) -> Vec<[String; 4]> {
    let row = |room: &RoomLag, member: &MemberLag| {
        let state = match (member.in_step, member.lacks) {
            (true, _) => "in step".to_owned(),
            (false, Some(0)) => "apart, lacks nothing of this copy".to_owned(),
            (false, Some(lacks)) => format!("lacks up to {lacks} changes"),
            (false, None) => "not paired with this home".to_owned(),
        };
        let last =
            if member.in_step { "now".to_owned() } else { member.last_in_step.clone().unwrap_or_default() };
        [room.name.clone(), member.name.clone().unwrap_or_else(|| member.identity.clone()), state, last]
    };
    lag.iter().flat_map(|room| room.members.iter().map(move |member| row(room, member))).collect()
}
