//! `/drain`: how far a drain is, and its beginning.

use http::{Method, Response, StatusCode};
use serde::Serialize;

use super::answer::json;
use super::view::View;

/// How far a drain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrainView {
    /// `serving` (there is none), `notice`, `closing`, `cutting`, `delivering` or `drained`.
    pub phase: &'static str,
    /// Agents' connections that are yet to be closed.
    pub left: usize,
    /// Connections closed a second, at most.
    pub rate: u32,
}

/// GET says how far it is, POST begins it, and changes nothing if it has begun.
pub(super) fn answer(method: &Method, view: &dyn View) -> Response<String> {
    if *method != Method::POST {
        return json(StatusCode::OK, &view.drain());
    }
    view.begin_drain();
    json(StatusCode::ACCEPTED, &view.drain())
}
