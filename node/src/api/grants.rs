//! `/api/v1/grants`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::reply::{ApiError, Input};
use super::types::{GrantInfo, GrantList, GrantRequest, RevokeReport};
use crate::service::{Node, blocking};

/// Consents given and received.
#[utoipa::path(get, path = "/api/v1/grants", responses((status = 200, body = GrantList)))]
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<GrantList> {
    Json(node.grant_list())
}

/// Signs a consent for a paired peer.
#[utoipa::path(post, path = "/api/v1/grants", request_body = GrantRequest, responses((status = 200, body = GrantInfo)))]
pub(super) async fn give(
    State(node): State<Arc<Node>>,
    Input(request): Input<GrantRequest>,
) -> Result<Json<GrantInfo>, ApiError> {
    Ok(Json(blocking(move || node.grant_give(&request)).await?))
}

/// Revokes a consent for ever.
#[utoipa::path(delete, path = "/api/v1/grants/{id}", responses((status = 200, body = RevokeReport), (status = 404)))]
pub(super) async fn revoke(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
) -> Result<Json<RevokeReport>, ApiError> {
    Ok(Json(blocking(move || node.grant_revoke(&id)).await?))
}
