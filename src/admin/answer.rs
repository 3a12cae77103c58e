//! From a request's method and target to the answer. Must not know sockets or tasks.

use std::num::IntErrorKind;

use http::{Method, Response, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::json;

use super::admission;
use super::drain;
use super::rebalance;
use super::response::{fault, json, text};
use super::view::{ListedAgent, SessionAnswer, View};
use crate::ident::InstanceUid;
use crate::telemetry;

/// Sessions on a page unless `limit` says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most sessions on a page, whatever `limit` says.
const PAGE_MAX: usize = 1000;

const INDEX: &str = "Seawall\n\n\
    /metrics                           for Prometheus\n\
    /healthz                           200 while the process is alive\n\
    /readyz                            200 if a balancer should send agents here, else 503; ?room: also 503 while full\n\
    /cluster                           the nodes of the fleet, and what needs attention\n\
    /sessions?limit=100&after=UID      the agents known here, a page at a time\n\
    /sessions/UID                      one agent, wherever its session is\n\
    /drain                             the phase of a drain; POST begins one\n\
    /rebalance                         connections closed for other nodes to take; POST begins, DELETE ends it\n\
    /admission                         the admission rate and who waits; POST ?rate=N sets it, 0: automatic\n\
    /admission/recent                  how many agents this node admitted when, in the last five minutes\n";

/// A page of sessions.
#[derive(Serialize)]
struct Page {
    sessions: Vec<ListedAgent>,
    /// What to give as `after` for the next page; null on the last.
    next: Option<String>,
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    ready: bool,
    #[serde(flatten)]
    readiness: &'a super::view::Readiness,
}

/// Answers a request. May take milliseconds, because it renders metrics and walks sessions.
pub(super) fn answer(method: &Method, uri: &Uri, view: &dyn View) -> Response<String> {
    // The paths that take orders as well.
    match (method, uri.path()) {
        (&Method::GET | &Method::HEAD | &Method::POST, "/drain") => drain::answer(method, view),
        (&Method::GET | &Method::HEAD | &Method::POST, "/admission") => {
            admission::answer(method, uri, view)
        }
        (&Method::GET | &Method::HEAD | &Method::POST | &Method::DELETE, "/rebalance") => {
            rebalance::answer(method, view)
        }
        (&Method::GET | &Method::HEAD, _) => look(uri, view),
        (_, path) => {
            let allowed = match path {
                "/drain" | "/admission" => "GET, HEAD, POST",
                "/rebalance" => "GET, HEAD, POST, DELETE",
                _ => "GET, HEAD",
            };
            let what = format!("this path takes {allowed}");
            let mut response = fault(StatusCode::METHOD_NOT_ALLOWED, &what);
            let allowed = header::HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
    }
}

/// The paths that only show.
fn look(uri: &Uri, view: &dyn View) -> Response<String> {
    match uri.path() {
        "/" => text(StatusCode::OK, "text/plain; charset=utf-8", INDEX.to_owned()),
        "/healthz" => text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
        "/metrics" => {
            text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", telemetry::render())
        }
        "/readyz" => {
            let readiness = view.readiness();
            let ready = readiness.is_ready();
            let room_asked = uri.query().is_some_and(|query| query == "room" || query == "room=");
            let status = if ready && !(room_asked && readiness.full) {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            json(status, &ReadyBody { ready, readiness: &readiness })
        }
        "/cluster" => json(StatusCode::OK, &view.cluster()),
        "/admission/recent" => admission::recent(view),
        "/sessions" => page(uri.query().unwrap_or_default(), view),
        path => match path.strip_prefix("/sessions/") {
            Some(uid) => session(uid, view),
            None => fault(StatusCode::NOT_FOUND, "unknown path; / lists the known ones"),
        },
    }
}

fn page(query: &str, view: &dyn View) -> Response<String> {
    let (mut limit, mut after) = (PAGE_DEFAULT, None);
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match key.as_ref() {
            "limit" => match value.parse::<usize>() {
                Ok(count) if count > 0 => limit = count.min(PAGE_MAX),
                Err(error) if *error.kind() == IntErrorKind::PosOverflow => limit = PAGE_MAX,
                _ => return fault(StatusCode::BAD_REQUEST, "limit must be 1 or more"),
            },
            "after" => match InstanceUid::parse(&value) {
                Some(uid) => after = Some(uid),
                None => return fault(StatusCode::BAD_REQUEST, "after must be an instance uid"),
            },
            _ => {
                return fault(StatusCode::BAD_REQUEST, "the parameters are limit and after");
            }
        }
    }
    let sessions = view.sessions(after, limit);
    let last = sessions.last().filter(|_| sessions.len() >= limit);
    let next = last.map(|agent| agent.uid().to_string());
    json(StatusCode::OK, &Page { sessions, next })
}

fn session(uid: &str, view: &dyn View) -> Response<String> {
    let Some(uid) = InstanceUid::parse(uid) else {
        return fault(StatusCode::BAD_REQUEST, "not an instance uid: give a UUID or a ULID");
    };
    match view.session(uid) {
        SessionAnswer::Here(session) => json(StatusCode::OK, &session),
        SessionAnswer::Elsewhere(session) => json(StatusCode::OK, &session),
        SessionAnswer::Unknown { home } => {
            let error = format!("this agent is unknown at its home, {home}");
            json(StatusCode::NOT_FOUND, &json!({ "error": error, "home": home }))
        }
        SessionAnswer::Silent { home, why, connection } => {
            let error = format!("this agent's home, {home}, does not answer: {why}");
            let body = json!({ "error": error, "home": home, "connection": connection });
            json(StatusCode::GATEWAY_TIMEOUT, &body)
        }
        SessionAnswer::Homeless { shard, connection } => {
            let error = format!("this agent's shard, {shard}, has no home yet");
            let body = json!({ "error": error, "home": null, "connection": connection });
            json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}
