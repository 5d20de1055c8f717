//! `metaclinic room …`

use std::ops::ControlFlow;
use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Context, output};
use crate::api::types::{
    ConflictingText, CreateRoomRequest, InviteRequest, JoinRequest, Place, RoomAnnotation, RoomChanged,
    RoomList, RoomMember, RoomRequest, RoomSize, RoomState, RoomText, RoomTicket, SaveAttachmentRequest,
    SaveReport,
};
use crate::client::Client;
use crate::service::problem::{Problem, Tried};

#[derive(Subcommand)]
pub(super) enum RoomCommand {
    /// Make a room; this home becomes its owner
    Create {
        /// Name that members see
        name: String,
        /// Environment; see `metaclinic scene list`
        #[arg(long, default_value = "consulting-room")]
        scene: String,
    },
    /// Add a paired peer to a room, or change its role; prints the ticket that it joins with
    Invite {
        /// Name or id of the room
        room: String,
        /// Name or id of the peer
        peer: String,
        /// clinician, patient or observer
        #[arg(long)]
        role: String,
    },
    /// Take a member out of a room
    Remove {
        /// Name or id of the room
        room: String,
        /// Name or id of the peer
        peer: String,
    },
    /// Join a room by its ticket
    Join {
        /// mcroom1…
        ticket: String,
    },
    /// Show the ticket of a room again
    Ticket {
        /// Name or id of the room
        room: String,
    },
    /// List the rooms of this home
    List,
    /// Show a room: members, annotations, notes, conversation, conflicts
    Show {
        /// Name or id of the room
        room: String,
    },
    /// Fix a text, and a file with it, to a place in the room
    Annotate {
        /// Name or id of the room
        room: String,
        /// What it says
        #[arg(long)]
        text: String,
        #[command(flatten)]
        place: PlaceArgs,
        /// File to attach; it is sealed and goes to members only
        #[arg(long, value_name = "FILE")]
        attach: Option<PathBuf>,
    },
    /// Move an annotation
    Move {
        /// Name or id of the room
        room: String,
        /// Id of the annotation, or its beginning
        annotation: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write an annotation or a note anew; this also settles a conflict
    Edit {
        /// Name or id of the room
        room: String,
        /// Id of the annotation or note, or its beginning
        id: String,
        /// What it shall say
        #[arg(long)]
        text: String,
    },
    /// Remove an annotation
    RemoveAnnotation {
        /// Name or id of the room
        room: String,
        /// Id of the annotation, or its beginning
        annotation: String,
    },
    /// Add a care note
    Note {
        /// Name or id of the room
        room: String,
        /// What it says
        text: String,
    },
    /// Say something to everyone in the room
    Say {
        /// Name or id of the room
        room: String,
        /// What
        text: String,
    },
    /// Show what happens in a room, until Ctrl-C
    Watch {
        /// Name or id of the room
        room: String,
    },
    /// Write an annotation's attachment into a folder
    Save {
        /// Name or id of the room
        room: String,
        /// Id of the annotation, or its beginning
        annotation: String,
        /// An existing folder
        folder: PathBuf,
    },
}

/// Where in the room.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct PlaceArgs {
    /// Metres: x to the right, y up, z towards the viewer
    #[arg(long, value_name = "X,Y,Z", value_parser = parse_point, allow_hyphen_values = true)]
    at: Option<[f32; 3]>,
    /// A named place, e.g. monitor; see `metaclinic scene list`
    #[arg(long, value_name = "NAME")]
    anchor: Option<String>,
}

impl PlaceArgs {
    fn place(self) -> Result<Place, Problem> {
        match (self.at, self.anchor) {
            (Some(point), None) => Ok(Place::At(point)),
            (None, Some(anchor)) => Ok(Place::Anchor(anchor)),
            _ => Err(Problem::wrong_use("name one place").next("use --at X,Y,Z or --anchor NAME")),
        }
    }
}

pub(super) async fn run(context: &Context, command: RoomCommand) -> Result<(), Problem> {
    match command {
        RoomCommand::Create { name, scene } => {
            let request = CreateRoomRequest { name, scene };
            let made: RoomTicket =
                context.with_client(async |client| client.post("/api/v1/rooms", &request).await).await?;
            show_ticket(
                context,
                &made,
                "Made. Invite a paired peer with: metaclinic room invite ROOM PEER --role clinician|patient|observer",
            );
            Ok(())
        }
        RoomCommand::Invite { room, peer, role } => {
            let request = InviteRequest { peer, role };
            let path = format!("{}/members", path(&room));
            let made: RoomTicket =
                context.with_client(async |client| client.post(&path, &request).await).await?;
            show_ticket(context, &made, "Give the ticket to the new member: metaclinic room join TICKET");
            Ok(())
        }
        RoomCommand::Remove { room, peer } => {
            let path = format!("{}/members/{}", path(&room), super::segment(&peer));
            let made: RoomTicket = context
                .with_client(async |client| client.call(Method::DELETE, &path, None::<&()>).await)
                .await?;
            show_ticket(context, &made, "Removed. What was read before cannot be taken back.");
            Ok(())
        }
        RoomCommand::Join { ticket } => {
            let request = JoinRequest { ticket };
            let joined: RoomTicket =
                context.with_client(async |client| client.post("/api/v1/rooms/join", &request).await).await?;
            show_ticket(context, &joined, "Joined. Look around with: metaclinic room show ROOM");
            Ok(())
        }
        RoomCommand::Ticket { room } => {
            let path = format!("{}/ticket", path(&room));
            let ticket: RoomTicket = context.with_client(async |client| client.get(&path).await).await?;
            show_ticket(context, &ticket, "Only members can join with it.");
            Ok(())
        }
        RoomCommand::List => list(context).await,
        RoomCommand::Show { room } => show(context, &room).await,
        RoomCommand::Annotate { room, text, place, attach } => {
            let attach = match attach {
                Some(file) => Some(std::path::absolute(file).tried("find the file")?.display().to_string()),
                None => None,
            };
            change(context, &room, &RoomRequest::Annotate { text, place: place.place()?, attach }).await
        }
        RoomCommand::Move { room, annotation, place } => {
            change(context, &room, &RoomRequest::Move { annotation, place: place.place()? }).await
        }
        RoomCommand::Edit { room, id, text } => change(context, &room, &RoomRequest::Edit { id, text }).await,
        RoomCommand::RemoveAnnotation { room, annotation } => {
            change(context, &room, &RoomRequest::Remove { annotation }).await
        }
        RoomCommand::Note { room, text } => change(context, &room, &RoomRequest::Note { text }).await,
        RoomCommand::Say { room, text } => change(context, &room, &RoomRequest::Say { text }).await,
        RoomCommand::Watch { room } => watch(context, &room).await,
        RoomCommand::Save { room, annotation, folder } => save(context, &room, annotation, folder).await,
    }
}

fn path(room: &str) -> String {
    format!("/api/v1/rooms/{}", super::segment(room))
}

fn show_ticket(context: &Context, ticket: &RoomTicket, note: &str) {
    if context.global.json {
        output::json(ticket);
        return;
    }
    output::facts([
        ("room", format!("{} ({})", ticket.name, ticket.room)),
        ("ticket", ticket.ticket.clone()),
    ]);
    output::note(note);
}

async fn change(context: &Context, room: &str, request: &RoomRequest) -> Result<(), Problem> {
    let path = format!("{}/changes", path(room));
    let changed: RoomChanged = context.with_client(async |client| client.post(&path, request).await).await?;
    if context.global.json {
        output::json(&changed);
    } else {
        output::line(&changed.id);
    }
    Ok(())
}

async fn list(context: &Context) -> Result<(), Problem> {
    let list: RoomList = context.with_client(async |client| client.get("/api/v1/rooms").await).await?;
    if context.global.json {
        output::json(&list);
    } else if list.rooms.is_empty() {
        output::note("No rooms. Make one with: metaclinic room create NAME");
    } else {
        let row = |r: crate::api::types::RoomSummary| {
            let short: String = r.room.chars().take(12).collect();
            let met = format!("{} of {}", r.in_sync, r.members);
            [
                r.name,
                r.scene,
                r.role.unwrap_or_else(|| "removed".to_owned()),
                met,
                r.changes.to_string(),
                short,
            ]
        };
        let headers = ["name", "scene", "your role", "in step", "changes", "room"];
        output::table(headers, list.rooms.into_iter().map(row));
    }
    Ok(())
}

async fn show(context: &Context, room: &str) -> Result<(), Problem> {
    let state: RoomState = context.with_client(async |client| client.get(&path(room)).await).await?;
    if context.global.json {
        output::json(&state);
        return Ok(());
    }
    let names = |identity: &str| -> String {
        let known = state.members.iter().find(|m| m.identity == identity).and_then(|m| m.name.clone());
        known.unwrap_or_else(|| identity.chars().take(12).collect())
    };
    let role = state.role.clone().unwrap_or_else(|| "removed".to_owned());
    output::line(&format!("{} · {} · you are {role} · member list {}", state.name, state.scene, state.epoch));
    if state.frozen {
        output::line(
            "frozen: the owner's key signed two different member lists; what only one of them allows is refused for good. Go on in a new room, and ask its owner who holds that key",
        );
    }
    if let Some(reason) = &state.size.full {
        let RoomSize { changes, max_changes, .. } = state.size;
        output::line(&format!("nothing more can be written: {reason} ({changes} of {max_changes} changes)"));
    }
    let member = |m: &RoomMember| {
        let met = match (m.in_sync, m.full) {
            (true, true) => "in step, full",
            (true, false) => "in step",
            (false, true) => "full",
            (false, false) => "",
        };
        [
            m.name.clone().unwrap_or_default(),
            m.role.clone(),
            met.to_owned(),
            m.identity.chars().take(12).collect(),
        ]
    };
    output::table(["member", "role", "", "identity"], state.members.iter().map(member));
    if !state.annotations.is_empty() {
        let headers = ["annotation", "at x, y, z (m)", "near", "text", "attached", "by"];
        output::table(headers, state.annotations.iter().map(|a| annotation_row(a, &names)));
    }
    show_texts("note", &state.notes, &names);
    show_texts("said", &state.chat, &names);
    show_conflicts(&state, &names);
    Ok(())
}

fn annotation_row(a: &RoomAnnotation, names: &impl Fn(&str) -> String) -> [String; 6] {
    let [x, y, z] = a.position_m;
    let near =
        a.nearest.as_ref().map(|n| format!("{} ({:.1} m)", n.anchor, n.distance_m)).unwrap_or_default();
    let attached = a.attachment.as_ref().map(|f| {
        let here = if f.here { "" } else { " (not here yet)" };
        format!("{}{here}", f.name)
    });
    let short = a.annotation.chars().take(8).collect();
    [
        short,
        format!("{x:.2}, {y:.2}, {z:.2}"),
        near,
        a.text.clone(),
        attached.unwrap_or_default(),
        makers(&a.author, &a.text_author, Some(&a.position_author), names),
    ]
}

fn show_texts(title: &str, texts: &[RoomText], names: &impl Fn(&str) -> String) {
    if !texts.is_empty() {
        let row = |t: &RoomText| {
            let by = makers(&t.author, &t.text_author, None, names);
            [t.id.chars().take(8).collect(), t.created.clone(), by, t.text.clone()]
        };
        output::table([title, "time", "by", "text"], texts.iter().map(row));
    }
}

/// Who made an entry, and who else wrote what it says now or put it where it is.
fn makers(author: &str, text: &str, position: Option<&str>, names: &impl Fn(&str) -> String) -> String {
    let mut shown = names(author);
    if text != author {
        shown.push_str(&format!("; text by {}", names(text)));
    }
    if let Some(mover) = position.filter(|mover| *mover != author) {
        shown.push_str(&format!("; moved by {}", names(mover)));
    }
    shown
}

fn show_conflicts(state: &RoomState, names: &impl Fn(&str) -> String) {
    for a in &state.annotations {
        text_conflict(&a.annotation, &a.text, &a.text_author, &a.text_conflicts, names);
        if !a.position_conflicts.is_empty() {
            let moved =
                |who: &str, [x, y, z]: [f32; 3]| format!("{} moved it to {x:.2}, {y:.2}, {z:.2}", names(who));
            let others = a.position_conflicts.iter().map(|c| moved(&c.author, c.position_m));
            conflict(&a.annotation, moved(&a.position_author, a.position_m), others);
        }
    }
    for n in &state.notes {
        text_conflict(&n.id, &n.text, &n.text_author, &n.conflicts, names);
    }
}

fn text_conflict(
    id: &str,
    text: &str,
    author: &str,
    others: &[ConflictingText],
    names: &impl Fn(&str) -> String,
) {
    if !others.is_empty() {
        let wrote = |who: &str, text: &str| format!("{} wrote «{text}»", names(who));
        conflict(id, wrote(author, text), others.iter().map(|c| wrote(&c.author, &c.text)));
    }
}

/// One line with all sides of a conflict, the one that is shown first.
fn conflict(id: &str, shown: String, others: impl Iterator<Item = String>) {
    let short: String = id.chars().take(8).collect();
    let sides: Vec<String> = std::iter::once(shown).chain(others).collect();
    output::line(&format!("conflict in {short}: {}", sides.join(", ")));
}

async fn watch(context: &Context, room: &str) -> Result<(), Problem> {
    let path = format!("{}/events", path(room));
    let json = context.global.json;
    context
        .with_client(async |client| {
            if matches!(client, Client::Here(_)) {
                return Err(Problem::failed("there is nothing to watch without a daemon")
                    .next("start it with: metaclinic run"));
            }
            client
                .follow(&path, async |event: Value| {
                    if json {
                        output::json(&event);
                    } else {
                        let what = event["event"].as_str().unwrap_or("changed").replace('-', " ");
                        let id: String = event["id"].as_str().unwrap_or_default().chars().take(8).collect();
                        output::line(format!("{what} {id}").trim_end());
                    }
                    ControlFlow::Continue(())
                })
                .await
        })
        .await
}

async fn save(context: &Context, room: &str, annotation: String, folder: PathBuf) -> Result<(), Problem> {
    let folder = std::path::absolute(folder).tried("find the folder")?.display().to_string();
    let request = SaveAttachmentRequest { annotation, folder };
    let path = format!("{}/save", path(room));
    let report: SaveReport = context.with_client(async |client| client.post(&path, &request).await).await?;
    if context.global.json {
        output::json(&report);
    } else {
        report.files.iter().for_each(|file| output::line(file));
    }
    Ok(())
}

pub(super) fn parse_point(text: &str) -> Result<[f32; 3], String> {
    let numbers: Vec<f32> = text.split(',').map_while(|n| n.trim().parse().ok()).collect();
    match <[f32; 3]>::try_from(numbers) {
        Ok(point) if text.split(',').count() == 3 && point.iter().all(|n| n.is_finite()) => Ok(point),
        _ => Err("write three numbers in metres, e.g. 0.5,1.2,-0.8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changed_an_entry_is_named_beside_who_made_it() {
        let names = |identity: &str| identity.to_uppercase();
        assert_eq!(makers("pat", "pat", Some("pat"), &names), "PAT");
        assert_eq!(makers("pat", "nurse", None, &names), "PAT; text by NURSE");
        assert_eq!(makers("pat", "pat", Some("nurse"), &names), "PAT; moved by NURSE");
        assert_eq!(makers("pat", "nurse", Some("doc"), &names), "PAT; text by NURSE; moved by DOC");
    }

    #[test]
    fn a_point_is_three_finite_numbers() {
        assert_eq!(parse_point("0.5, 1.2,-0.8"), Ok([0.5, 1.2, -0.8]));
        for wrong in ["", "1,2", "1,2,3,4", "a,b,c", "1,2,x", "NaN,0,0", "inf,0,0"] {
            assert!(parse_point(wrong).is_err(), "{wrong}");
        }
    }
}
