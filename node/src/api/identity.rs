//! `/api/v1/status`, `/api/v1/identity…`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::reply::ApiError;
use super::types::{IdentityInfo, SafetyNumber, Status};
use crate::service::Node;

/// Health of the node.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(node): State<Arc<Node>>) -> Json<Status> {
    Json(node.status())
}

/// 200 while records can be read and written, 503 otherwise; needs no token and says nothing more.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> (StatusCode, &'static str) {
    if node.trouble().is_empty() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Identity and devices of this home.
#[utoipa::path(get, path = "/api/v1/identity", responses((status = 200, body = IdentityInfo)))]
pub(super) async fn identity(State(node): State<Arc<Node>>) -> Result<Json<IdentityInfo>, ApiError> {
    Ok(Json(node.identity_info()?))
}

/// The number two people compare by voice.
#[utoipa::path(get, path = "/api/v1/identity/safety-number/{peer}", responses((status = 200, body = SafetyNumber)))]
pub(super) async fn safety_number(
    State(node): State<Arc<Node>>,
    Path(peer): Path<String>,
) -> Result<Json<SafetyNumber>, ApiError> {
    Ok(Json(node.safety_number(&peer)?))
}
