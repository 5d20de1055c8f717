//! `/fhir/R4/…`: read and search of FHIR R4 (4.0.1), RESTful API. Problems are OperationOutcomes.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::reply;
use crate::service::problem::{Kind, Problem};
use crate::service::records::parse_source;
use crate::service::{Node, blocking};

/// Search: a searchset Bundle.
#[utoipa::path(get, path = "/fhir/R4/{resource_type}", responses((status = 200, description = "Bundle"), (status = 400)))]
pub(super) async fn search(
    State(node): State<Arc<Node>>,
    Path(resource_type): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = match query {
        Some(parameters) if !parameters.is_empty() => format!("{resource_type}?{parameters}"),
        _ => resource_type,
    };
    answer(blocking(move || node.search("/fhir/R4", &query)).await)
}

/// What a read may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParameters {
    /// `own` or the identity of the peer it is from; the own one first when left out.
    #[serde(rename = "_source")]
    source: Option<String>,
    /// Answers are JSON whatever is asked for.
    #[serde(rename = "_format")]
    _format: Option<String>,
}

/// Read: one resource as it was imported.
#[utoipa::path(get, path = "/fhir/R4/{resource_type}/{id}", params(("_source" = Option<String>, Query)), responses((status = 200, description = "resource"), (status = 404)))]
pub(super) async fn read(
    State(node): State<Arc<Node>>,
    Path((resource_type, id)): Path<(String, String)>,
    parameters: Result<Query<ReadParameters>, QueryRejection>,
) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return answer(Err(Problem::wrong_use("a read takes _source and _format only")));
    };
    let read = move || {
        let source = parameters.source.as_deref().map(parse_source).transpose()?;
        node.record_get(&resource_type, &id, source)
    };
    answer(blocking(read).await)
}

fn answer(result: Result<String, Problem>) -> Response {
    match result {
        Ok(text) => reply::fhir_json(StatusCode::OK, text),
        Err(problem) => {
            let code = match problem.kind {
                Kind::Failed => "exception",
                Kind::WrongUse => "invalid",
                Kind::NotFound => "not-found",
                Kind::Denied => "forbidden",
                Kind::Busy => "throttled",
            };
            let mut diagnostics = problem.message.clone();
            if let Some(next) = &problem.next {
                diagnostics = format!("{diagnostics}; {next}");
            }
            let outcome = records::operation_outcome("error", code, &diagnostics);
            reply::fhir_json(reply::status(problem.kind), outcome)
        }
    }
}
