//! `/admission`: the state of admission, and another rate. Must not know how arrivals are decided.

use std::num::NonZeroU32;

use http::{Method, Response, StatusCode, Uri};

use super::response::{fault, json};
use super::view::View;
use crate::core::admission::RATE_MAX;

/// GET shows the state; POST with `rate` sets another rate first, 0 makes it automatic.
pub(super) fn answer(method: &Method, uri: &Uri, view: &dyn View) -> Response<String> {
    if *method == Method::POST {
        match rate(uri.query().unwrap_or_default()) {
            Some(rate) if view.admission().is_some() => {
                view.set_admission_rate(NonZeroU32::new(rate))
            }
            Some(_) => {}
            None => {
                let what = format!(
                    "POST /admission?rate=N sets connections a second, at most {RATE_MAX}; 0: automatic"
                );
                return fault(StatusCode::BAD_REQUEST, &what);
            }
        }
    }
    if *method != Method::POST && rate(uri.query().unwrap_or_default()).is_some() {
        return fault(StatusCode::METHOD_NOT_ALLOWED, "a rate is set by POST /admission?rate=N");
    }
    match view.admission() {
        Some(admission) => json(StatusCode::OK, &admission),
        None => starting(),
    }
}

/// GET shows how many agents were admitted when.
pub(super) fn recent(view: &dyn View) -> Response<String> {
    view.admitted().map_or_else(starting, |admitted| json(StatusCode::OK, &admitted))
}

fn starting() -> Response<String> {
    fault(StatusCode::SERVICE_UNAVAILABLE, "starting: agents are admitted in a moment")
}

/// The one parameter: `rate`.
fn rate(query: &str) -> Option<u32> {
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    let (key, value) = parameters.next()?;
    let only = parameters.next().is_none();
    let rate = value.parse().ok().filter(|rate| *rate <= RATE_MAX);
    rate.filter(|_| only && key == "rate")
}
