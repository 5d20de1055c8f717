//! `/api/v1/rooms…`, `/api/v1/scenes`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json};
use tokio::sync::{broadcast, mpsc};

use super::Transport;
use super::reply::{self, ApiError, Input, local_only};
use super::types::{
    CreateRoomRequest, InviteRequest, JoinRequest, RoomChanged, RoomList, RoomRequest, RoomState, RoomTicket,
    SaveAttachmentRequest, SaveReport,
};
use crate::service::{Node, blocking};

/// Events waiting for a slow reader.
const EVENTS: usize = 64;

/// All rooms of this home.
#[utoipa::path(get, path = "/api/v1/rooms", responses((status = 200, body = RoomList)))]
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<RoomList> {
    Json(node.room_list())
}

/// Makes a room.
#[utoipa::path(post, path = "/api/v1/rooms", request_body = CreateRoomRequest, responses((status = 200, body = RoomTicket)))]
pub(super) async fn create(
    State(node): State<Arc<Node>>,
    Input(request): Input<CreateRoomRequest>,
) -> Result<Json<RoomTicket>, ApiError> {
    Ok(Json(blocking(move || node.room_create(&request)).await?))
}

/// Joins the room of a ticket.
#[utoipa::path(post, path = "/api/v1/rooms/join", request_body = JoinRequest, responses((status = 200, body = RoomTicket)))]
pub(super) async fn join(
    State(node): State<Arc<Node>>,
    Input(request): Input<JoinRequest>,
) -> Result<Json<RoomTicket>, ApiError> {
    Ok(Json(node.room_join(&request.ticket).await?))
}

/// A room as it stands on this device.
#[utoipa::path(get, path = "/api/v1/rooms/{room}", responses((status = 200, body = RoomState), (status = 404)))]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    Path(room): Path<String>,
) -> Result<Json<RoomState>, ApiError> {
    Ok(Json(node.room_show(&room).await?))
}

/// The ticket that members join with.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/ticket", responses((status = 200, body = RoomTicket), (status = 404)))]
pub(super) async fn ticket(
    State(node): State<Arc<Node>>,
    Path(room): Path<String>,
) -> Result<Json<RoomTicket>, ApiError> {
    Ok(Json(node.room_ticket(&room)?))
}

/// Adds a member or changes its role.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/members", request_body = InviteRequest,
    responses((status = 200, body = RoomTicket), (status = 403)))]
pub(super) async fn invite(
    State(node): State<Arc<Node>>,
    Path(room): Path<String>,
    Input(request): Input<InviteRequest>,
) -> Result<Json<RoomTicket>, ApiError> {
    Ok(Json(blocking(move || node.room_invite(&room, &request)).await?))
}

/// Takes a member out.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/members/{peer}",
    responses((status = 200, body = RoomTicket), (status = 403)))]
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path((room, peer)): Path<(String, String)>,
) -> Result<Json<RoomTicket>, ApiError> {
    Ok(Json(blocking(move || node.room_remove(&room, &peer)).await?))
}

/// Changes a room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/changes", request_body = RoomRequest,
    responses((status = 200, body = RoomChanged), (status = 403)))]
pub(super) async fn change(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Path(room): Path<String>,
    Input(request): Input<RoomRequest>,
) -> Result<Json<RoomChanged>, ApiError> {
    if matches!(&request, RoomRequest::Annotate { attach: Some(_), .. }) {
        local_only(transport)?;
    }
    let runtime = tokio::runtime::Handle::current();
    Ok(Json(blocking(move || node.room_change(&runtime, &room, request)).await?))
}

/// Writes an annotation's attachment; only for processes of the same user.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/save", request_body = SaveAttachmentRequest,
    responses((status = 200, body = SaveReport), (status = 403)))]
pub(super) async fn save(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Path(room): Path<String>,
    Input(request): Input<SaveAttachmentRequest>,
) -> Result<Json<SaveReport>, ApiError> {
    local_only(transport)?;
    Ok(Json(node.room_save(&room, &request).await?))
}

/// What happens in a room from now on, one object a line.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/events",
    responses((status = 200, description = "room events", content_type = "application/x-ndjson")))]
pub(super) async fn events(
    State(node): State<Arc<Node>>,
    Path(room): Path<String>,
) -> Result<Response, ApiError> {
    let mut happened = node.room_watch(&room)?;
    let (sender, lines) = mpsc::channel(EVENTS);
    let stop = node.stop.clone();
    node.tasks.spawn(async move {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                () = sender.closed() => return,
                event = happened.recv() => event,
            };
            let line = match event {
                Ok(event) => serde_json::to_value(event).unwrap_or_default(),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    serde_json::json!({ "event": "missed", "count": missed })
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if sender.send(line).await.is_err() {
                return;
            }
        }
    });
    Ok(reply::lines(lines))
}
