//! Responses of the administration listener: text, JSON, and faults that say what is wrong. Knows only
//! what it is given, so that each path can use it.

use http::{Response, StatusCode, header};
use serde::Serialize;

/// An answer that says what is wrong.
pub(super) fn fault(status: StatusCode, error: &str) -> Response<String> {
    json(status, &serde_json::json!({ "error": error }))
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<String> {
    match serde_json::to_string(value) {
        Ok(body) => text(status, "application/json", body + "\n"),
        Err(error) => {
            let body = format!("{error}\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", body)
        }
    }
}

pub(super) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
