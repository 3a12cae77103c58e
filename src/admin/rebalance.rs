//! `/rebalance`: whether this node closes connections for others to take, and the order to. Must not know how it is
//! carried out.

use http::{Method, Response, StatusCode};

use super::response::{fault, json};
use super::view::View;

/// GET shows the state. POST begins, DELETE ends it; while it goes on, further POSTs only show it.
pub(super) fn answer(method: &Method, view: &dyn View) -> Response<String> {
    if view.rebalance().is_none() {
        let what = "this node has no others: ownership.store is \"memory\"";
        return fault(StatusCode::CONFLICT, what);
    }
    let status = match *method {
        Method::POST | Method::DELETE => {
            view.order_rebalance(*method == Method::POST);
            StatusCode::ACCEPTED
        }
        _ => StatusCode::OK,
    };
    json(status, &view.rebalance())
}
