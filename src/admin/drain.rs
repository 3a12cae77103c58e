//! `/drain`: how far a drain is, and its beginning.

use http::{Method, Response, StatusCode};

use super::response::json;
use super::view::View;

/// GET says how far it is, POST begins it, and changes nothing if it has begun.
pub(super) fn answer(method: &Method, view: &dyn View) -> Response<String> {
    if *method != Method::POST {
        return json(StatusCode::OK, &view.drain());
    }
    view.begin_drain();
    json(StatusCode::ACCEPTED, &view.drain())
}
