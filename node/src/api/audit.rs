//! `/api/v1/audit`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::reply::ApiError;
use super::types::{AuditPage, AuditVerification};
use crate::service::problem::Problem;
use crate::service::{Node, blocking};

/// Which part of the trail.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    /// First entry; without it the newest are shown.
    from: Option<u64>,
    /// How many; 100 if not said.
    limit: Option<usize>,
}

/// Part of the trail.
#[utoipa::path(get, path = "/api/v1/audit", params(Range), responses((status = 200, body = AuditPage)))]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<AuditPage>, ApiError> {
    let Query(range) = range.map_err(|_| Problem::wrong_use("the parameters are: from, limit"))?;
    Ok(Json(blocking(move || node.audit_show(range.from, range.limit.unwrap_or(100))).await?))
}

/// Recomputes chain and signed heads.
#[utoipa::path(post, path = "/api/v1/audit/verify", responses((status = 200, body = AuditVerification)))]
pub(super) async fn verify(State(node): State<Arc<Node>>) -> Result<Json<AuditVerification>, ApiError> {
    Ok(Json(blocking(move || node.audit_verify()).await?))
}
