//! The local API: one router, served on the home's Unix socket, on loopback HTTP with a token, and called in
//! process by the CLI when no daemon runs.

mod analyze;
mod audit;
mod diagnose;
mod fhir;
mod grants;
mod guard;
mod identity;
mod models;
mod pairing;
mod records;
mod reply;
mod rooms;
pub(crate) mod types;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use utoipa::OpenApi;

pub(crate) use guard::{Token, guarded};

use crate::service::Node;

/// The largest request body: requests name files, they do not carry them.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A process of the same user: the Unix socket or this very process.
    Local,
    /// Loopback HTTP with the token.
    Http,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "metaclinic local API", description = "What the command line can do, a program can do."),
    paths(
        identity::status,
        identity::identity,
        identity::safety_number,
        pairing::peers,
        pairing::offer,
        pairing::confirm,
        pairing::accept,
        records::import,
        records::save,
        records::fetch,
        records::verify,
        grants::list,
        grants::give,
        grants::revoke,
        audit::show,
        audit::verify,
        diagnose::ecg,
        diagnose::image,
        diagnose::risk,
        diagnose::confirm_risk,
        diagnose::glucose,
        diagnose::together,
        diagnose::switch_together,
        analyze::panel,
        analyze::series,
        models::list,
        models::card,
        models::verify,
        models::publish,
        models::withdraw,
        models::updates,
        models::fetch,
        models::candidate,
        models::install,
        models::compare,
        models::activate,
        models::rollback,
        models::drift,
        rooms::list,
        rooms::create,
        rooms::join,
        rooms::show,
        rooms::ticket,
        rooms::invite,
        rooms::remove,
        rooms::change,
        rooms::save,
        rooms::events,
        fhir::search,
        fhir::read,
    )
)]
struct Document;

/// All routes over `node`, for callers that come by `transport`.
pub(crate) fn router(node: Arc<Node>, transport: Transport) -> Router {
    let api = Router::new()
        .route("/status", get(identity::status))
        .route("/identity", get(identity::identity))
        .route("/identity/safety-number/{peer}", get(identity::safety_number))
        .route("/peers", get(pairing::peers))
        .route("/pairing/offer", post(pairing::offer))
        .route("/pairing/confirm", post(pairing::confirm))
        .route("/pairing/accept", post(pairing::accept))
        .route("/records/import", post(records::import))
        .route("/records/save", post(records::save))
        .route("/records/fetch", post(records::fetch))
        .route("/records/verify", post(records::verify))
        .route("/grants", get(grants::list).post(grants::give))
        .route("/grants/{id}", delete(grants::revoke))
        .route("/audit", get(audit::show))
        .route("/audit/verify", post(audit::verify))
        .route("/diagnose/ecg", post(diagnose::ecg))
        .route("/diagnose/image", post(diagnose::image))
        .route("/diagnose/risk", post(diagnose::risk))
        .route("/diagnose/risk/confirm", post(diagnose::confirm_risk))
        .route("/diagnose/glucose", post(diagnose::glucose))
        .route("/diagnose/together", post(diagnose::together))
        .route("/diagnose/together/switch", post(diagnose::switch_together))
        .route("/analyze/panel", post(analyze::panel))
        .route("/analyze/series", post(analyze::series))
        .route("/models", get(models::list))
        .route("/models/card", post(models::card))
        .route("/models/verify", post(models::verify))
        .route("/models/publish", post(models::publish))
        .route("/models/withdraw", post(models::withdraw))
        .route("/models/updates", post(models::updates))
        .route("/models/fetch", post(models::fetch))
        .route("/models/candidate", post(models::candidate))
        .route("/models/install", post(models::install))
        .route("/models/compare", post(models::compare))
        .route("/models/activate", post(models::activate))
        .route("/models/rollback", post(models::rollback))
        .route("/models/drift", post(models::drift))
        .route("/rooms", get(rooms::list).post(rooms::create))
        .route("/rooms/join", post(rooms::join))
        .route("/rooms/{room}", get(rooms::show))
        .route("/rooms/{room}/ticket", get(rooms::ticket))
        .route("/rooms/{room}/members", post(rooms::invite))
        .route("/rooms/{room}/members/{peer}", delete(rooms::remove))
        .route("/rooms/{room}/changes", post(rooms::change))
        .route("/rooms/{room}/save", post(rooms::save))
        .route("/rooms/{room}/events", get(rooms::events))
        .route("/openapi.json", get(|| async { Json(Document::openapi()) }));
    Router::new()
        .nest("/api/v1", api)
        .route("/fhir/R4/{resource_type}", get(fhir::search))
        .route("/fhir/R4/{resource_type}/{id}", get(fhir::read))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(identity::ready))
        .fallback(reply::no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(transport))
        .with_state(node)
}
