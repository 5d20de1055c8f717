//! What stands before the loopback listener: a page in the user's browser must not reach it.
//!
//! A foreign `Host` (DNS rebinding) or `Origin` (another site's script) gets 403 before the token is looked at;
//! without the token 401. `/healthz` and `/readyz` need none.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rand_core::Rng;

use crate::clock;

/// The bearer token of one daemon start: 256 random bits, compared in constant time.
pub(crate) struct Token {
    text: String,
    hash: blake3::Hash,
}

impl Token {
    /// Draws a fresh one.
    pub(crate) fn generate() -> Self {
        let mut bytes = [0; 32];
        clock::rng().fill_bytes(&mut bytes);
        let text = keys::base32(&bytes);
        Self { hash: blake3::hash(text.as_bytes()), text }
    }

    /// The text for the token file.
    pub(crate) fn expose(&self) -> &str {
        &self.text
    }

    fn matches(&self, offered: &str) -> bool {
        // blake3::Hash compares in constant time.
        blake3::hash(offered.as_bytes()) == self.hash
    }
}

struct Guard {
    token: Token,
    address: SocketAddr,
}

/// `router` behind the checks of a listener at `address`.
pub(crate) fn guarded(router: Router, token: Token, address: SocketAddr) -> Router {
    let guard = Arc::new(Guard { token, address });
    router.layer(middleware::from_fn_with_state(guard, check))
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !guard.own_host(headers) || !guard.own_origin(headers) || cross_site(headers) {
        return (StatusCode::FORBIDDEN, "foreign host or origin\n").into_response();
    }
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let offered = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if !offered.is_some_and(|t| guard.token.matches(t.trim())) {
        let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, ask, "token missing or wrong\n").into_response();
    }
    next.run(request).await
}

impl Guard {
    fn own_host(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        host.to_str().is_ok_and(|h| self.is_own(h))
    }

    fn own_origin(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            origin.to_str().ok().and_then(|o| o.strip_prefix("http://")).is_some_and(|o| self.is_own(o))
        })
    }

    fn is_own(&self, authority: &str) -> bool {
        authority == self.address.to_string() || authority == format!("localhost:{}", self.address.port())
    }
}

fn cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|v| v == "cross-site" || v == "same-site")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn status(headers: &[(&str, &str)], path: &str) -> u16 {
        let token = Token { text: "secret".into(), hash: blake3::hash(b"secret") };
        let routes = Router::new().route("/healthz", get(|| async { "" })).route("/x", get(|| async { "" }));
        let router = guarded(routes, token, SocketAddr::from(([127, 0, 0, 1], 8080)));
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("valid request");
        router.oneshot(request).await.expect("infallible").status().as_u16()
    }

    const OWN: (&str, &str) = ("host", "127.0.0.1:8080");
    const AUTH: (&str, &str) = ("authorization", "Bearer secret");

    #[tokio::test]
    async fn the_token_opens_and_nothing_else_does() {
        assert_eq!(status(&[OWN, AUTH], "/x").await, 200);
        assert_eq!(status(&[("host", "localhost:8080"), AUTH], "/x").await, 200);
        assert_eq!(status(&[OWN], "/x").await, 401);
        assert_eq!(status(&[OWN, ("authorization", "Bearer wrong")], "/x").await, 401);
        assert_eq!(status(&[OWN], "/healthz").await, 200);
    }

    #[tokio::test]
    async fn a_foreign_host_or_origin_is_refused_even_with_the_token() {
        assert_eq!(status(&[("host", "evil.example:8080"), AUTH], "/x").await, 403);
        assert_eq!(status(&[OWN, OWN, AUTH], "/x").await, 403);
        assert_eq!(status(&[AUTH], "/x").await, 403);
        assert_eq!(status(&[OWN, AUTH, ("origin", "http://evil.example")], "/x").await, 403);
        assert_eq!(status(&[OWN, AUTH, ("origin", "null")], "/x").await, 403);
        assert_eq!(status(&[OWN, AUTH, ("origin", "http://127.0.0.1:8080")], "/x").await, 200);
        assert_eq!(status(&[OWN, AUTH, ("sec-fetch-site", "cross-site")], "/x").await, 403);
        assert_eq!(status(&[("host", "127.0.0.1:9999")], "/healthz").await, 403);
    }
}
