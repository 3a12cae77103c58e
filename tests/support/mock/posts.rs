//! The mock server's plain HTTP: POSTs on keep-alive connections.

use std::io;

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use seawall::opamp::proto::AgentToServer;

use super::state::Post;
use super::{Open, Stream};

/// Serves POSTs until the connection ends.
pub(super) async fn serve(open: &Open, stream: Box<dyn Stream>) {
    let service = service_fn(|request| answer(open, request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error ends the connection and leaves the request unanswered.
async fn answer(open: &Open, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/opamp"));
    let head = request.headers().clone();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let report = AgentToServer::decode(body).expect("an AgentToServer, without a header byte");
    let _served = Served::begin(open, head, &report);
    let mut changed = open.shared.changed.subscribe();
    let moving = changed.wait_for(|_| !open.shared.state.lock().behaviour.stalled);
    drop(moving.await);
    let post = open.shared.state.lock().behaviour.post_for(&report);
    match post {
        Post::Cut => {
            open.shared.change(|state| state.refused.push((seawall::clock::now(), report)));
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Post::Status(status, retry_after) => {
            open.shared.change(|state| state.refused.push((seawall::clock::now(), report)));
            let mut response = Response::builder().status(status);
            if let Some(retry_after) = retry_after {
                response = response.header("Retry-After", retry_after);
            }
            return response.body(Full::from("no message")).map_err(io::Error::other);
        }
        Post::Page => {
            open.shared.change(|state| state.refused.push((seawall::clock::now(), report)));
            let page = Response::builder().header("Content-Type", "text/html");
            return page.body(Full::from("<html>Down</html>")).map_err(io::Error::other);
        }
        Post::Nothing => {
            open.shared.change(|state| state.refused.push((seawall::clock::now(), report)));
            return Ok(Response::new(Full::default()));
        }
        Post::Unanswered => {
            open.shared.change(|state| state.take(open.id, report));
            return std::future::pending().await;
        }
        Post::Take | Post::TakeAndCut => {}
    }
    let taken = open.shared.change(|state| state.take(open.id, report));
    let Some((delay, reply)) = taken.filter(|_| post == Post::Take) else {
        return Err(io::ErrorKind::ConnectionReset.into());
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::builder().header("Content-Type", "application/x-protobuf");
    for n in 0..open.shared.state.lock().behaviour.headers_more {
        response = response.header(format!("X-{n}"), "v");
    }
    response.body(Full::from(reply.encode_to_vec())).map_err(io::Error::other)
}

/// A request that is being served, noted for as long as it is.
struct Served<'a> {
    open: &'a Open,
    uid: Vec<u8>,
}

impl<'a> Served<'a> {
    fn begin(open: &'a Open, head: HeaderMap, report: &AgentToServer) -> Self {
        let uid = report.instance_uid.clone();
        open.shared.change(|state| {
            state.heads.push(head);
            state.overlaps += usize::from(!state.served.insert(uid.clone()));
        });
        Self { open, uid }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.open.shared.change(|state| state.served.remove(&self.uid));
    }
}
