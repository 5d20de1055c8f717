//! A caller of the local API: over the daemon's socket, or in process on a home opened for one command.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::api::types::ProblemBody;
use crate::api::{self, Transport};
use crate::service::Node;
use crate::service::problem::{Kind, Problem, Tried};

/// The largest answer that is taken whole.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Where calls go.
pub(crate) enum Client {
    /// The daemon of this home.
    Daemon(std::path::PathBuf),
    /// This process, which has the home open.
    Here(Arc<Node>),
}

impl Client {
    /// The daemon behind `socket`, if one answers.
    pub(crate) async fn daemon(socket: &Path) -> Option<Self> {
        UnixStream::connect(socket).await.ok().map(|_| Self::Daemon(socket.to_path_buf()))
    }

    /// Releases the home if it was opened for this command.
    pub(crate) async fn close(self) {
        if let Self::Here(node) = self {
            node.close().await;
        }
    }

    /// Calls and decodes the answer.
    ///
    /// # Errors
    /// The service's [`Problem`], or that nobody answered.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Problem> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text).tried("understand the answer of the local API")
    }

    /// Calls with GET and decodes the answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Calls with POST and decodes the answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Calls and takes the answer's text as it is.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<String, Problem> {
        let response = self.send(request(method, path, body)?).await?;
        let status = response.status();
        let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let bytes = limited
            .collect()
            .await
            .map_err(|e| Problem::failed(format!("the local API's answer broke off: {e}")))?
            .to_bytes();
        if !status.is_success() {
            return Err(problem(status, &bytes));
        }
        String::from_utf8(bytes.to_vec()).tried("read the answer of the local API")
    }

    /// Posts and gives each line of the answer to `each` until it breaks.
    ///
    /// # Errors
    /// The service's [`Problem`], or that the answer broke off.
    pub(crate) async fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        each: impl AsyncFnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        self.lines(request(Method::POST, path, Some(body))?, each).await
    }

    /// Gets and gives each line of the answer to `each` until it breaks.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub(crate) async fn follow<T: DeserializeOwned>(
        &self,
        path: &str,
        each: impl AsyncFnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        self.lines(request(Method::GET, path, None::<&()>)?, each).await
    }

    async fn lines<T: DeserializeOwned>(
        &self,
        request: Request<Body>,
        mut each: impl AsyncFnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        let response = self.send(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.tried("read the answer of the local API")?;
            let Ok(data) = frame.into_data() else { continue };
            pending.extend_from_slice(&data);
            if !status.is_success() {
                continue;
            }
            while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let event = serde_json::from_slice(&line).tried("understand the answer of the local API")?;
                if each(event).await.is_break() {
                    return Ok(());
                }
            }
        }
        if status.is_success() { Ok(()) } else { Err(problem(status, &pending)) }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        match self {
            Self::Here(node) => {
                let router: Router = api::router(Arc::clone(node), Transport::Local);
                match router.oneshot(request).await {
                    Ok(response) => Ok(response),
                    Err(never) => match never {},
                }
            }
            Self::Daemon(socket) => {
                let gone = "cannot reach the daemon of this home";
                let step = "see whether it still runs; start it with: metaclinic run";
                let stream = UnixStream::connect(socket).await;
                let stream = stream.map_err(|e| Problem::failed(gone).because(e).next(step))?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|e| Problem::failed(gone).because(e).next(step))?;
                tokio::spawn(connection);
                let response = sender.send_request(request).await;
                let response = response.map_err(|e| Problem::failed(gone).because(e).next(step))?;
                Ok(response.map(Body::new))
            }
        }
    }
}

fn request(method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Request<Body>, Problem> {
    let builder = Request::builder().method(method).uri(path).header(header::HOST, "metaclinic");
    let built = match body {
        Some(body) => {
            let bytes = serde_json::to_vec(body).tried("write the request")?;
            builder.header(header::CONTENT_TYPE, "application/json").body(Body::from(bytes))
        }
        None => builder.body(Body::empty()),
    };
    built.map_err(|e| {
        Problem::wrong_use("this cannot be asked").because(e).next("check the spelling of ids and queries")
    })
}

/// Reads a problem out of an error answer: our own body, or an OperationOutcome.
fn problem(status: StatusCode, bytes: &[u8]) -> Problem {
    if let Ok(body) = serde_json::from_slice::<ProblemBody>(bytes) {
        return body.into();
    }
    let kind = match status.as_u16() {
        400 => Kind::WrongUse,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        503 => Kind::Busy,
        _ => Kind::Failed,
    };
    let outcome: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let said = outcome.pointer("/issue/0/diagnostics").and_then(serde_json::Value::as_str);
    match said.and_then(|s| s.split_once("; ")) {
        Some((message, next)) => Problem::new(kind, message).next(next),
        None => Problem::new(kind, said.unwrap_or("the local API refused the call")),
    }
}
