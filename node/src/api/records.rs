//! `/api/v1/records/…`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use tokio::sync::mpsc;

use super::Transport;
use super::reply::{self, ApiError, Input, local_only};
use super::types::{
    FetchEvent, FetchRequest, ImportEvent, ImportRequest, SaveReport, SaveRequest, VerifyRecordsReport,
};
use crate::service::{Node, blocking};

/// Progress events waiting for a slow reader.
const EVENTS: usize = 64;

/// Imports files of this machine; only for processes of the same user, since it names paths.
#[utoipa::path(post, path = "/api/v1/records/import", request_body = ImportRequest,
    responses((status = 200, body = ImportEvent, content_type = "application/x-ndjson"), (status = 403)))]
pub(super) async fn import(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Input(request): Input<ImportRequest>,
) -> Result<Response, ApiError> {
    local_only(transport)?;
    let (sender, events) = mpsc::channel(EVENTS);
    let runtime = tokio::runtime::Handle::current();
    let worker = Arc::clone(&node);
    node.tasks.spawn_blocking(move || {
        let last = match worker.import(&request, &runtime, &sender) {
            Ok(report) => ImportEvent::Done(report),
            Err(problem) => ImportEvent::Failed((&problem).into()),
        };
        let _ = sender.blocking_send(last);
    });
    Ok(reply::lines(events))
}

/// Writes the original files of a resource's attachments; only for processes of the same user.
#[utoipa::path(post, path = "/api/v1/records/save", request_body = SaveRequest,
    responses((status = 200, body = SaveReport), (status = 403)))]
pub(super) async fn save(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Input(request): Input<SaveRequest>,
) -> Result<Json<SaveReport>, ApiError> {
    local_only(transport)?;
    Ok(Json(node.save_attachments(&request).await?))
}

/// Fetches what a peer lets this home read.
#[utoipa::path(post, path = "/api/v1/records/fetch", request_body = FetchRequest,
    responses((status = 200, body = FetchEvent, content_type = "application/x-ndjson")))]
pub(super) async fn fetch(State(node): State<Arc<Node>>, Input(request): Input<FetchRequest>) -> Response {
    let (sender, events) = mpsc::channel(EVENTS);
    let worker = Arc::clone(&node);
    node.tasks.spawn(async move {
        let last = match worker.fetch(&request, &sender).await {
            Ok(report) => FetchEvent::Done(report),
            Err(problem) => FetchEvent::Failed((&problem).into()),
        };
        let _ = sender.send(last).await;
    });
    reply::lines(events)
}

/// Opens and checks every stored record and its attachments.
#[utoipa::path(post, path = "/api/v1/records/verify", responses((status = 200, body = VerifyRecordsReport)))]
pub(super) async fn verify(State(node): State<Arc<Node>>) -> Result<Json<VerifyRecordsReport>, ApiError> {
    let runtime = tokio::runtime::Handle::current();
    Ok(Json(blocking(move || node.verify_records(&runtime)).await?))
}
