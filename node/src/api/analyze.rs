//! `/api/v1/analyze/…`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::reply::{ApiError, Input};
use super::types::{PanelAnswer, PanelRequest, SeriesAnswer, SeriesRequest};
use crate::service::Node;

/// Groups and components of the patients of this home.
#[utoipa::path(post, path = "/api/v1/analyze/panel", request_body = PanelRequest,
    responses((status = 200, body = PanelAnswer), (status = 404)))]
pub(super) async fn panel(
    State(node): State<Arc<Node>>,
    Input(request): Input<PanelRequest>,
) -> Result<Json<PanelAnswer>, ApiError> {
    Ok(Json(node.analyze_panel(request).await?))
}

/// Trend, changes or forecast of one measurement of a patient.
#[utoipa::path(post, path = "/api/v1/analyze/series", request_body = SeriesRequest,
    responses((status = 200, body = SeriesAnswer), (status = 404)))]
pub(super) async fn series(
    State(node): State<Arc<Node>>,
    Input(request): Input<SeriesRequest>,
) -> Result<Json<SeriesAnswer>, ApiError> {
    Ok(Json(node.analyze_series(request).await?))
}
