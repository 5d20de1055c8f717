//! `/api/v1/models/…`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::Transport;
use super::reply::{ApiError, Input, local_only};
use super::types::{
    CandidateInfo, CandidateRequest, CompareRequest, ComparisonReport, DriftReport, FetchModelRequest,
    InstallRequest, ModelHere, ModelList, ModelName, ModelOffer, ModelStateInfo, PublishReport,
    PublishRequest, UpdatesReport, UpdatesRequest,
};
use crate::service::{Node, blocking};

/// Models in use here, and packages that lie here.
#[utoipa::path(get, path = "/api/v1/models", responses((status = 200, body = ModelList)))]
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<ModelList> {
    Json(node.model_list())
}

/// The card of the model in use.
#[utoipa::path(post, path = "/api/v1/models/card", request_body = ModelName,
    responses((status = 200, body = Object), (status = 404)))]
pub(super) async fn card(
    State(node): State<Arc<Node>>,
    Input(request): Input<ModelName>,
) -> Result<Json<serde_json::Value>, ApiError> {
    Ok(Json(node.model_card(&request.name).await?))
}

/// Opens and checks every package that lies here.
#[utoipa::path(post, path = "/api/v1/models/verify", responses((status = 200, body = [ModelStateInfo])))]
pub(super) async fn verify(State(node): State<Arc<Node>>) -> Result<Json<Vec<ModelStateInfo>>, ApiError> {
    Ok(Json(node.verify_models().await?))
}

/// Signs a model of a folder; only for processes of the same user, since it names paths.
#[utoipa::path(post, path = "/api/v1/models/publish", request_body = PublishRequest,
    responses((status = 200, body = PublishReport), (status = 403)))]
pub(super) async fn publish(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Input(request): Input<PublishRequest>,
) -> Result<Json<PublishReport>, ApiError> {
    local_only(transport)?;
    let runtime = tokio::runtime::Handle::current();
    Ok(Json(blocking(move || node.publish_model(&runtime, &request)).await?))
}

/// Offers a model to nobody any more.
#[utoipa::path(post, path = "/api/v1/models/withdraw", request_body = ModelName,
    responses((status = 200), (status = 404)))]
pub(super) async fn withdraw(
    State(node): State<Arc<Node>>,
    Input(request): Input<ModelName>,
) -> Result<Json<()>, ApiError> {
    Ok(Json(blocking(move || node.withdraw_model(&request.name)).await?))
}

/// Asks paired clinics and researchers what they offer.
#[utoipa::path(post, path = "/api/v1/models/updates", request_body = UpdatesRequest,
    responses((status = 200, body = UpdatesReport)))]
pub(super) async fn updates(
    State(node): State<Arc<Node>>,
    Input(request): Input<UpdatesRequest>,
) -> Result<Json<UpdatesReport>, ApiError> {
    Ok(Json(node.model_updates(&request).await?))
}

/// Fetches a model that a paired peer offers; it is kept, not used.
#[utoipa::path(post, path = "/api/v1/models/fetch", request_body = FetchModelRequest,
    responses((status = 200, body = ModelOffer), (status = 403)))]
pub(super) async fn fetch(
    State(node): State<Arc<Node>>,
    Input(request): Input<FetchModelRequest>,
) -> Result<Json<ModelOffer>, ApiError> {
    Ok(Json(node.fetch_model(&request).await?))
}

/// Shows a new model beside the one in use; a file is read for processes of the same user only.
#[utoipa::path(post, path = "/api/v1/models/candidate", request_body = CandidateRequest,
    responses((status = 200, body = CandidateInfo), (status = 403)))]
pub(super) async fn candidate(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Input(request): Input<CandidateRequest>,
) -> Result<Json<CandidateInfo>, ApiError> {
    if request.file.is_some() {
        local_only(transport)?;
    }
    Ok(Json(node.model_candidate(request).await?))
}

/// Approves the new model that was shown.
#[utoipa::path(post, path = "/api/v1/models/install", request_body = InstallRequest,
    responses((status = 200, body = ModelHere), (status = 403)))]
pub(super) async fn install(
    State(node): State<Arc<Node>>,
    Input(request): Input<InstallRequest>,
) -> Result<Json<ModelHere>, ApiError> {
    Ok(Json(blocking(move || node.install_model(&request)).await?))
}

/// Compares the new model with the one in use; labelled data is read for processes of the same user only.
#[utoipa::path(post, path = "/api/v1/models/compare", request_body = CompareRequest,
    responses((status = 200, body = ComparisonReport), (status = 404)))]
pub(super) async fn compare(
    State(node): State<Arc<Node>>,
    Extension(transport): Extension<Transport>,
    Input(request): Input<CompareRequest>,
) -> Result<Json<ComparisonReport>, ApiError> {
    if request.data.is_some() {
        local_only(transport)?;
    }
    Ok(Json(node.compare_models(request).await?))
}

/// Puts the model that ran beside in use.
#[utoipa::path(post, path = "/api/v1/models/activate", request_body = ModelName,
    responses((status = 200, body = ModelHere), (status = 404)))]
pub(super) async fn activate(
    State(node): State<Arc<Node>>,
    Input(request): Input<ModelName>,
) -> Result<Json<ModelHere>, ApiError> {
    Ok(Json(node.activate_model(&request.name).await?))
}

/// Back to the model that was in use before.
#[utoipa::path(post, path = "/api/v1/models/rollback", request_body = ModelName,
    responses((status = 200, body = ModelHere)))]
pub(super) async fn rollback(
    State(node): State<Arc<Node>>,
    Input(request): Input<ModelName>,
) -> Result<Json<ModelHere>, ApiError> {
    Ok(Json(blocking(move || node.roll_back_model(&request.name)).await?))
}

/// What a model did here day by day, and what is clearly worse than before.
#[utoipa::path(post, path = "/api/v1/models/drift", request_body = ModelName,
    responses((status = 200, body = DriftReport), (status = 404)))]
pub(super) async fn drift(
    State(node): State<Arc<Node>>,
    Input(request): Input<ModelName>,
) -> Result<Json<DriftReport>, ApiError> {
    Ok(Json(node.drift(&request.name).await?))
}
