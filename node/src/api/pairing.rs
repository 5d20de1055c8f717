//! `/api/v1/pairing/…`, `/api/v1/peers`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use tokio::sync::mpsc;

use super::reply::{self, ApiError, Input};
use super::types::{AcceptEvent, AcceptRequest, ConfirmRequest, OfferEvent, OfferRequest, Peer};
use crate::service::{Node, pairing};

/// Paired peers.
#[utoipa::path(get, path = "/api/v1/peers", responses((status = 200, body = Vec<Peer>)))]
pub(super) async fn peers(State(node): State<Arc<Node>>) -> Json<Vec<Peer>> {
    Json(node.status().peers)
}

/// Opens a pairing offer; it stands while the answer is being read.
#[utoipa::path(post, path = "/api/v1/pairing/offer", request_body = OfferRequest,
    responses((status = 200, body = OfferEvent, content_type = "application/x-ndjson")))]
pub(super) async fn offer(
    State(node): State<Arc<Node>>,
    Input(request): Input<OfferRequest>,
) -> Result<Response, ApiError> {
    let (sender, events) = mpsc::channel(pairing::EVENTS);
    node.pair_offer(&request, sender).await?;
    Ok(reply::lines(events))
}

/// The person at the offering side has compared the digits.
#[utoipa::path(post, path = "/api/v1/pairing/confirm", request_body = ConfirmRequest, responses((status = 200)))]
pub(super) async fn confirm(
    State(node): State<Arc<Node>>,
    Input(request): Input<ConfirmRequest>,
) -> Result<Json<()>, ApiError> {
    Ok(Json(node.pair_confirm(request.accept)?))
}

/// Accepts an offer.
#[utoipa::path(post, path = "/api/v1/pairing/accept", request_body = AcceptRequest,
    responses((status = 200, body = AcceptEvent, content_type = "application/x-ndjson")))]
pub(super) async fn accept(State(node): State<Arc<Node>>, Input(request): Input<AcceptRequest>) -> Response {
    let (sender, events) = mpsc::channel(pairing::EVENTS);
    let worker = Arc::clone(&node);
    node.tasks.spawn(async move {
        if let Err(problem) = worker.pair_accept(&request, &sender).await {
            let _ = sender.send(AcceptEvent::Failed((&problem).into())).await;
        }
    });
    reply::lines(events)
}
