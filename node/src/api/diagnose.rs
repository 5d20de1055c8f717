//! `/api/v1/diagnose/…`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::reply::{ApiError, Input};
use super::types::{
    EcgAnswer, EcgRequest, GlucoseAnswer, GlucoseRequest, ImageAnswer, ImageRequest, RiskAnswer,
    RiskConfirmRequest, RiskConfirmed, RiskRequest, TogetherAnswer, TogetherRequest, TogetherSwitch,
    TogetherSwitched,
};
use crate::service::{Node, blocking};

/// Reads a stored ECG with the model on this device.
#[utoipa::path(post, path = "/api/v1/diagnose/ecg", request_body = EcgRequest,
    responses((status = 200, body = EcgAnswer), (status = 404)))]
pub(super) async fn ecg(
    State(node): State<Arc<Node>>,
    Input(request): Input<EcgRequest>,
) -> Result<Json<EcgAnswer>, ApiError> {
    Ok(Json(node.diagnose_ecg(request).await?))
}

/// Reads a stored chest radiograph with the model on this device.
#[utoipa::path(post, path = "/api/v1/diagnose/image", request_body = ImageRequest,
    responses((status = 200, body = ImageAnswer), (status = 404)))]
pub(super) async fn image(
    State(node): State<Arc<Node>>,
    Input(request): Input<ImageRequest>,
) -> Result<Json<ImageAnswer>, ApiError> {
    Ok(Json(node.diagnose_image(request).await?))
}

/// Reads a person's risk out of stored records with a model on this device; writes nothing.
#[utoipa::path(post, path = "/api/v1/diagnose/risk", request_body = RiskRequest,
    responses((status = 200, body = RiskAnswer), (status = 404)))]
pub(super) async fn risk(
    State(node): State<Arc<Node>>,
    Input(request): Input<RiskRequest>,
) -> Result<Json<RiskAnswer>, ApiError> {
    Ok(Json(node.diagnose_risk(request).await?))
}

/// Keeps what a clinician saw and confirmed as a RiskAssessment; only in a clinic's home.
#[utoipa::path(post, path = "/api/v1/diagnose/risk/confirm", request_body = RiskConfirmRequest,
    responses((status = 200, body = RiskConfirmed), (status = 403), (status = 404)))]
pub(super) async fn confirm_risk(
    State(node): State<Arc<Node>>,
    Input(request): Input<RiskConfirmRequest>,
) -> Result<Json<RiskConfirmed>, ApiError> {
    Ok(Json(node.confirm_risk(request).await?))
}
/// Forecasts glucose from stored readings with the model on this device.
#[utoipa::path(post, path = "/api/v1/diagnose/glucose", request_body = GlucoseRequest,
    responses((status = 200, body = GlucoseAnswer), (status = 404)))]
pub(super) async fn glucose(
    State(node): State<Arc<Node>>,
    Input(request): Input<GlucoseRequest>,
) -> Result<Json<GlucoseAnswer>, ApiError> {
    Ok(Json(node.diagnose_glucose(request).await?))
}

/// Puts the readings of a stored patient together, each with its share, age and uncertainty; off until it is enabled.
#[utoipa::path(post, path = "/api/v1/diagnose/together", request_body = TogetherRequest,
    responses((status = 200, body = TogetherAnswer), (status = 403), (status = 404)))]
pub(super) async fn together(
    State(node): State<Arc<Node>>,
    Input(request): Input<TogetherRequest>,
) -> Result<Json<TogetherAnswer>, ApiError> {
    Ok(Json(node.diagnose_together(request).await?))
}

/// Enables or disables that readings are put together; only in a clinic's home.
#[utoipa::path(post, path = "/api/v1/diagnose/together/switch", request_body = TogetherSwitch,
    responses((status = 200, body = TogetherSwitched), (status = 403)))]
pub(super) async fn switch_together(
    State(node): State<Arc<Node>>,
    Input(request): Input<TogetherSwitch>,
) -> Result<Json<TogetherSwitched>, ApiError> {
    Ok(Json(blocking(move || node.switch_together(&request)).await?))
}
