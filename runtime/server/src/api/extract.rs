//! What a request says, read within limits; and how it is told no.

use super::Managed;
use crate::{
    limits::BODY_BYTES_MAX,
    protocol::{ErrorCode, Refusal},
};
use axum::{
    Json,
    extract::{FromRef, FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use std::{fmt::Display, str::FromStr, sync::Arc, time::Duration};
use tokio::time;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code.status(), Json(self)).into_response()
    }
}

/// An answer that is an error.
pub(super) fn refused(code: ErrorCode, sentence: impl Display) -> Response {
    Refusal::new(code, sentence).into_response()
}

/// A body in JSON.
pub(super) struct Body<T>(pub(super) T);

/// How long a body may take.
#[derive(Clone, Copy)]
pub(super) struct BodyTime(pub(super) Duration);

impl FromRef<Arc<Managed>> for BodyTime {
    fn from_ref(host: &Arc<Managed>) -> Self {
        Self(host.body_time_max)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T>
where
    BodyTime: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let BodyTime(time_max) = BodyTime::from_ref(state);
        // What is announced is believed where it is too much; otherwise it is counted.
        if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        let reading = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
        let bytes = match time::timeout(time_max, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
            Ok(Err(error)) => {
                return Err(Refusal::new(ErrorCode::BadRequest, format_args!("the body breaks off: {error}")));
            }
            Err(_) => return Err(Refusal::new(ErrorCode::TooSlow, "the body did not come in time: send it at once")),
        };
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refusal::new(ErrorCode::BadRequest, format_args!("the body is not what this path takes: {error}"))
        })
    }
}

fn too_large() -> Refusal {
    let sentence = format_args!("the body has more than {BODY_BYTES_MAX} bytes, which are the most: send less");
    Refusal::new(ErrorCode::TooLarge, sentence)
}

/// The part of the path that names something.
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let wrong = |error: &dyn Display| Refusal::new(ErrorCode::BadRequest, error);
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(|error| wrong(&error))?;
        name.parse().map(Self).map_err(|error| wrong(&error))
    }
}

/// What stands behind the path's question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(|error| {
            Refusal::new(ErrorCode::BadRequest, format_args!("the query is not one of this path: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;
    use axum::{Router, routing::post};
    use futures::stream;
    use hyper_util::service::TowerToHyperService;
    use std::convert::Infallible;

    /// How a path that takes a message, and lets its body take a tenth of a second, answers.
    async fn answer(path: &str, body: axum::body::Body) -> (u16, Option<Refusal>) {
        let router: Router = Router::new()
            .route("/{number}", post(async |Named(_): Named<u32>, Asked(()): Asked<()>, Body(_): Body<Message>| ()))
            .with_state(BodyTime(Duration::from_millis(100)));
        let request = Request::post(path).body(body).expect("it is one");
        let answer = hyper::service::Service::call(&TowerToHyperService::new(router), request).await;
        let answer = answer.expect("a router always answers");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("it is whole").to_bytes();
        (status, serde_json::from_slice(&bytes).ok())
    }

    async fn check(path: &str, body: impl Into<axum::body::Body>, expect: (u16, ErrorCode, &str)) {
        let (status, refusal) = answer(path, body.into()).await;
        let refusal = refusal.expect("an error has a sentence");
        assert_eq!((status, refusal.code), (expect.0, expect.1), "{refusal}");
        assert!(refusal.message.contains(expect.2), "{refusal}");
    }

    #[tokio::test]
    async fn each_mistake_in_a_request_has_its_code_and_its_sentence() {
        assert_eq!(answer("/7", r#"{"text":"hello"}"#.into()).await, (200, None));
        check("/seven", r#"{"text":"hello"}"#, (400, ErrorCode::BadRequest, "digit")).await;
        check("/%ff", "", (400, ErrorCode::BadRequest, "UTF-8")).await;
        check("/7", "", (400, ErrorCode::BadRequest, "EOF")).await;
        check("/7", &b"\xff\xfe"[..], (400, ErrorCode::BadRequest, "not what this path takes")).await;
        check("/7", r#"{"text":"hello","trusted":true,"more":1}"#, (400, ErrorCode::BadRequest, "more")).await;
        check("/7", "[".repeat(100_000), (400, ErrorCode::BadRequest, "not what this path takes")).await;
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
        check("/7", large, (413, ErrorCode::TooLarge, "8388608 bytes")).await;
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_or_never_ends_is_not_waited_for() {
        let silent = axum::body::Body::from_stream(stream::pending::<Result<bytes::Bytes, Infallible>>());
        check("/7", silent, (408, ErrorCode::TooSlow, "in time")).await;
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(bytes::Bytes::from_static(&[b' '; 65536])));
        check("/7", axum::body::Body::from_stream(endless), (413, ErrorCode::TooLarge, "send less")).await;
    }
}
