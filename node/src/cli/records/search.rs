//! `metaclinic records search` and `get`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::http::Method;
use serde_json::Value;

use super::super::{Context, output, query, segment};
use crate::api::types::{Peer, SaveReport, SaveRequest};
use crate::client::Client;
use crate::service::problem::{Problem, Tried};
use crate::service::records::parse_source;

pub(super) async fn search(context: &Context, text: &str, from: Option<&str>) -> Result<(), Problem> {
    let (bundle, peers) = context
        .with_client(async |client| {
            let peers = peers(client).await?;
            let mut path = format!("/fhir/R4/{}", query(text));
            if let Some(from) = from {
                path.push(if text.contains('?') { '&' } else { '?' });
                path.push_str(&format!("_source={}", source_of(&peers, from)?));
            }
            Ok((client.text(Method::GET, &path, None::<&()>).await?, peers))
        })
        .await?;
    if context.global.json {
        output::line(&bundle);
        return Ok(());
    }
    let bundle: Value = serde_json::from_str(&bundle).tried("read the result")?;
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (found, notices): (Vec<_>, Vec<_>) = entries.iter().partition(|e| e["search"]["mode"] != "outcome");
    let row = |entry: &&Value| {
        let [resource, date, what, value] = search_row(&entry["resource"]);
        [source_name(&peers, entry["fullUrl"].as_str().unwrap_or_default()), resource, date, what, value]
    };
    output::table(["source", "resource", "date", "what", "value"], found.iter().map(row));
    let total = bundle["total"].as_u64().unwrap_or_default();
    output::note(&format!("{} of {total} shown; read one with: metaclinic records get TYPE/ID", found.len()));
    for notice in notices {
        let said = notice.pointer("/resource/issue/0/diagnostics").and_then(Value::as_str);
        output::note(&format!("note:  {}", said.unwrap_or_default()));
    }
    Ok(())
}

async fn peers(client: &Client) -> Result<Vec<Peer>, Problem> {
    client.get("/api/v1/peers").await
}

/// What `_source` says for a peer's name or id, the beginning of an id, or `own`.
fn source_of(peers: &[Peer], from: &str) -> Result<String, Problem> {
    // Resources of a peer stay when it is removed, so a whole identity need not be paired any more.
    if parse_source(from).is_ok() {
        return Ok(from.to_owned());
    }
    let begins = |id: &str| from.len() >= 8 && id.starts_with(from);
    let fits = |p: &&Peer| begins(&p.identity) || begins(&p.device) || p.name.eq_ignore_ascii_case(from);
    let found: BTreeSet<&str> = peers.iter().filter(fits).map(|p| p.identity.as_str()).collect();
    match found.iter().collect::<Vec<_>>().as_slice() {
        [only] => Ok((**only).to_owned()),
        [] => Err(Problem::not_found("no paired peer goes by that name or id")
            .next("list them with: metaclinic pair list")),
        _ => Err(Problem::wrong_use("more than one paired peer goes by that name")
            .next("use the identity that `metaclinic pair list` shows")),
    }
}

/// Whose copy an entry is, for people: `own`, the peer's name, or its identity when it is not paired or not the only
/// one of that name.
fn source_name(peers: &[Peer], full_url: &str) -> String {
    let Some((identity, _)) = full_url.strip_prefix("urn:metaclinic:").and_then(|rest| rest.split_once('/'))
    else {
        return "own".to_owned();
    };
    let name = peers.iter().find(|p| p.identity == identity).map(|p| &p.name);
    match name {
        Some(name) if peers.iter().all(|p| p.name != *name || p.identity == identity) => name.clone(),
        _ => identity.to_owned(),
    }
}

/// A line of a result table: enough to find the one that is meant.
fn search_row(resource: &Value) -> [String; 4] {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let first = |pointers: &[&str]| pointers.iter().find_map(|p| text(p)).unwrap_or_default();
    let date = first(&[
        "/effectiveDateTime",
        "/effectivePeriod/start",
        "/onsetDateTime",
        "/period/start",
        "/occurrenceDateTime",
        "/performedPeriod/start",
        "/authoredOn",
        "/recordedDate",
        "/issued",
        "/date",
        "/birthDate",
    ]);
    let what = first(&[
        "/code/text",
        "/code/coding/0/display",
        "/vaccineCode/coding/0/display",
        "/medicationCodeableConcept/coding/0/display",
        "/type/0/text",
        "/type/0/coding/0/display",
        "/type/coding/0/display",
        "/name/0/text",
        "/name/0/family",
        "/name",
        "/status",
    ]);
    let quantity = resource.get("valueQuantity").map(|q| {
        let unit = q["unit"].as_str().or(q["code"].as_str()).unwrap_or_default();
        format!("{} {unit}", q["value"])
    });
    let value = quantity
        .or_else(|| text("/valueCodeableConcept/text"))
        .or_else(|| text("/valueCodeableConcept/coding/0/display"))
        .or_else(|| text("/valueString"))
        .unwrap_or_default();
    [format!("{}/{}", first(&["/resourceType"]), first(&["/id"])), date, what, value]
}

pub(super) async fn get(
    context: &Context,
    reference: &str,
    from: Option<&str>,
    folder: Option<PathBuf>,
) -> Result<(), Problem> {
    let Some((resource_type, id)) = reference.split_once('/') else {
        return Err(Problem::wrong_use("a resource is named TYPE/ID").next("e.g. Patient/example"));
    };
    if let Some(folder) = folder {
        let folder = std::path::absolute(folder).tried("find the folder")?.display().to_string();
        let (resource_type, id) = (resource_type.to_owned(), id.to_owned());
        let report: SaveReport = context
            .with_client(async |client| {
                let source = named(client, from).await?;
                client.post("/api/v1/records/save", &SaveRequest { resource_type, id, source, folder }).await
            })
            .await?;
        if context.global.json {
            output::json(&report);
        } else {
            report.files.iter().for_each(|file| output::line(file));
        }
        return Ok(());
    }
    let text = context
        .with_client(async |client| {
            let mut path = format!("/fhir/R4/{}/{}", segment(resource_type), segment(id));
            if let Some(source) = named(client, from).await? {
                path.push_str(&format!("?_source={source}"));
            }
            client.text(Method::GET, &path, None::<&()>).await
        })
        .await?;
    output::line(text.trim_end());
    Ok(())
}

pub(in crate::cli) async fn named(client: &Client, from: Option<&str>) -> Result<Option<String>, Problem> {
    match from {
        Some(from) => source_of(&peers(client).await?, from).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, identity: u8) -> Peer {
        Peer {
            identity: keys::IdentityId::from_bytes([identity; 32]).to_string(),
            device: keys::DeviceId::from_bytes([identity; 32]).to_string(),
            role: "patient".to_owned(),
            name: name.to_owned(),
            device_name: String::new(),
            paired: String::new(),
            connected: false,
            connected_since: None,
            last_seen: None,
            round_trip_ms: None,
        }
    }

    #[test]
    fn a_source_is_shown_by_a_name_only_when_that_is_one_persons() {
        let peers = [peer("alice", 1), peer("bob", 2), peer("bob", 3)];
        let url = |p: &Peer| format!("urn:metaclinic:{}/Patient/p1", p.identity);
        assert_eq!(source_name(&peers, "/fhir/R4/Patient/p1"), "own");
        assert_eq!(source_name(&peers, &url(&peers[0])), "alice");
        assert_eq!(source_name(&peers, &url(&peers[1])), peers[1].identity);
        assert_eq!(source_name(&[], &url(&peers[0])), peers[0].identity);
        assert_eq!(source_of(&peers, "Alice").ok().as_deref(), Some(peers[0].identity.as_str()));
        assert_eq!(source_of(&peers, "own").ok().as_deref(), Some("own"));
        assert_eq!(source_of(&[], &peers[0].identity).ok().as_deref(), Some(peers[0].identity.as_str()));
        assert!(source_of(&peers, "bob").is_err() && source_of(&peers, "carol").is_err());
    }
}
