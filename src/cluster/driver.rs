//! Who works for a connection. quinn has a future for each, its *driver*: it takes datagrams in, keeps the timers and
//! sends. By itself that is a task. The task that serves a link takes the driver over, so that a datagram, its frames,
//! their answers and the next datagram need one wake.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;
use quinn::{AsyncTimer, AsyncUdpSocket, Connection, Runtime, TokioRuntime};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::core::peer_link::LinkEnd;

type DriverFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static CATCH: Cell<Catch> = const { Cell::new(Catch::None) };
}

/// What becomes of the next driver that quinn spawns on this thread.
enum Catch {
    /// It is a task like any other.
    None,
    /// It may be taken over.
    Next,
    Caught(LinkDriver),
}

/// tokio, with drivers that may be taken over.
#[derive(Debug)]
pub(super) struct LinkRuntime;

impl Runtime for LinkRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: DriverFuture) {
        match CATCH.replace(Catch::None) {
            Catch::Next => CATCH.set(Catch::Caught(LinkDriver::start(future))),
            Catch::None | Catch::Caught(_) => drop(tokio::spawn(future)),
        }
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A driver, which is a task until it is taken over.
#[derive(Clone)]
pub(super) struct LinkDriver {
    /// `None`: it is taken over, or has ended.
    future: Arc<Mutex<Option<DriverFuture>>>,
    task: AbortHandle,
}

impl fmt::Debug for LinkDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkDriver").finish_non_exhaustive()
    }
}

impl LinkDriver {
    fn start(future: DriverFuture) -> Self {
        let future = Arc::new(Mutex::new(Some(future)));
        let own = Arc::clone(&future);
        let task = tokio::spawn(poll_fn(move |context| {
            let mut slot = own.lock();
            let polled = slot.as_mut().map(|future| future.as_mut().poll(context));
            let polled = polled.unwrap_or(Poll::Ready(()));
            if polled.is_ready() {
                *slot = None;
            }
            polled
        }));
        Self { future, task: task.abort_handle() }
    }

    /// Calls what makes a connection, and returns its driver with it.
    pub(super) fn of<T>(make: impl FnOnce() -> T) -> (T, Option<Self>) {
        CATCH.set(Catch::Next);
        let made = make();
        match CATCH.replace(Catch::None) {
            Catch::Caught(driver) => (made, Some(driver)),
            Catch::None | Catch::Next => (made, None),
        }
    }
}

/// A connection, and what works for it.
#[derive(Debug, Clone)]
pub(super) struct NodeConnection {
    pub(super) connection: Connection,
    pub(super) driver: Option<LinkDriver>,
}

impl Deref for NodeConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl NodeConnection {
    /// Works for the connection in the caller's task, for as long as the future lives; then it is a task again.
    pub(super) fn drive(&self) -> Driven {
        Driven(self.driver.as_ref().and_then(|driver| {
            let future = driver.future.lock().take();
            driver.task.abort();
            future
        }))
    }
}

/// See [`NodeConnection::drive`].
pub(super) struct Driven(Option<DriverFuture>);

impl Future for Driven {
    type Output = LinkEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LinkEnd> {
        if let Some(future) = &mut self.0
            && future.as_mut().poll(context).is_ready()
        {
            // The connection is over, which others notice.
            self.0 = None;
        }
        Poll::Pending
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // A connection that was closed has its peer to tell.
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}
