//! `/drain`: the phase of a drain, and its beginning. Must not know how it is carried out.

use http::{Method, Response, StatusCode};

use super::response::json;
use super::view::View;

/// GET shows the phase. POST begins a drain; once it has begun, further POSTs only show it.
pub(super) fn answer(method: &Method, view: &dyn View) -> Response<String> {
    if *method != Method::POST {
        return json(StatusCode::OK, &view.drain());
    }
    view.begin_drain();
    json(StatusCode::ACCEPTED, &view.drain())
}
