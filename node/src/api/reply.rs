//! How results and problems leave the API.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::Transport;
use super::types::ProblemBody;
use crate::service::problem::{Kind, Problem};

/// A [`Problem`] as an HTTP response.
pub(super) struct ApiError(pub(super) Problem);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// The HTTP status of a kind of problem.
pub(super) const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::WrongUse => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (status(self.0.kind), Json(ProblemBody::from(&self.0))).into_response()
    }
}

/// A JSON request body, refused in our own words.
pub(super) struct Input<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_)) => Err(ApiError(
                Problem::wrong_use("the request body is not what this call takes")
                    .next("see /api/v1/openapi.json"),
            )),
            Err(other) => Err(ApiError(Problem::wrong_use(format!("cannot read the request body: {other}")))),
        }
    }
}

/// Events as they happen, one JSON object a line; ends when the sender is dropped.
pub(super) fn lines<T: Serialize + Send + 'static>(events: mpsc::Receiver<T>) -> Response {
    let stream = futures::stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        let line = serde_json::to_vec(&event).map(|mut bytes| {
            bytes.push(b'\n');
            bytes
        });
        Some((line, events))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response()
}

/// FHIR JSON text, not encoded again.
pub(super) fn fhir_json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], text).into_response()
}

pub(super) async fn no_such_route() -> ApiError {
    ApiError(Problem::not_found("no such call").next("see /api/v1/openapi.json"))
}

/// Paths of this machine are read and written for the user's own processes only.
pub(super) fn local_only(transport: Transport) -> Result<(), ApiError> {
    if transport == Transport::Local {
        return Ok(());
    }
    Err(ApiError(
        Problem::denied("files by path are for the home's socket only").next("use the command line"),
    ))
}
