//! Administration: what an operator asks a running gateway, on a listener of its own.
//!
//! `/metrics`, `/healthz`, `/readyz`, `/cluster`, `/sessions`, `/sessions/{uid}`, `/drain`, `/rebalance`, `/admission`,
//! `/admission/recent`.
//! `seawall cluster` asks for one of them from another process. There is no
//! authentication, so it listens on 127.0.0.1 by default; only a POST changes anything. It leaves the
//! data path alone: few connections, small requests, and slow answers run on threads of their own. Must
//! not know what an answer is made of.

mod admission;
mod answer;
pub mod cluster;
mod drain;
pub(crate) mod params;
mod places;
mod rebalance;
mod response;
mod view;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

pub(crate) use params::AdminParams;
pub(crate) use view::{
    AdmissionView, AdmittedView, ConnectionView, DrainView, ListedAgent, Readiness, RebalanceView,
    ServerView, SessionAnswer, SessionView, SourceView, StormView, View,
};

use places::{Places, Seat};

use crate::telemetry::events::admin::{AdminAcceptFailed, AdminListening};

/// How long a request head may take, and how long a connection may be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection lives before its next answer is its last. Bounds a peer that reads slowly, too.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a connection may take to end whose place another one needs.
const LEAVING_TIME: Duration = Duration::from_millis(500);
/// How long that last answer may take.
const CLOSING_TIME: Duration = Duration::from_secs(10);
/// Largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Wait after a failure to accept, which would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    head_timeout: Duration,
}

impl Admin {
    /// Binds the address.
    ///
    /// # Errors
    /// The system's, such as an address in use.
    pub(crate) async fn bind(params: &AdminParams) -> io::Result<Self> {
        let listener = TcpListener::bind(params.listen).await?;
        AdminListening { address: listener.local_addr()? }.emit();
        Ok(Self { listener, head_timeout: HEAD_TIMEOUT })
    }

    /// Serves until `shutdown` completes. Connections that are then open are dropped.
    pub(crate) async fn serve(self, view: Arc<dyn View>, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let places = Places::new();
        loop {
            // One beyond the bound is accepted, and waits for its place; more wait in the kernel.
            let outcome = tokio::select! {
                () = &mut shutdown => return,
                event = self.listener.accept() => event,
            };
            match outcome {
                Ok((stream, _)) => {
                    let place = tokio::select! {
                        () = &mut shutdown => return,
                        place = places.take() => place,
                    };
                    let seat = Arc::clone(&place.seat);
                    let connection = carry(stream, seat, Arc::clone(&view), self.head_timeout);
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    AdminAcceptFailed { error: &error }.emit();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Carries one connection to its end. Its errors concern its peer alone.
async fn carry(stream: TcpStream, seat: Arc<Seat>, view: Arc<dyn View>, head_timeout: Duration) {
    let works = Arc::clone(&seat);
    let service = service_fn(move |request| {
        let (seat, view) = (Arc::clone(&works), Arc::clone(&view));
        async move {
            seat.works();
            let answer = respond(request, view).await;
            seat.rests();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let patience = tokio::select! {
        _ = &mut connection => return,
        () = sleep(CONNECTION_TIME) => CLOSING_TIME,
        () = seat.is_needed() => LEAVING_TIME,
    };
    connection.as_mut().graceful_shutdown();
    // A connection that outlasts even that is dropped.
    let _ = timeout(patience, connection).await;
}

async fn respond(
    request: Request<Incoming>,
    view: Arc<dyn View>,
) -> Result<Response<String>, Infallible> {
    let (parts, _) = request.into_parts();
    let work = move || answer::answer(&parts.method, &parts.uri, &*view);
    // The answer fails only if it panicked, and the panic's own message is in the log.
    Ok(tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        response::fault(StatusCode::INTERNAL_SERVER_ERROR, "Seawall failed to answer")
    }))
}

#[cfg(test)]
mod tests;
