//! The threads at the door: connections are accepted, read and kept waiting there until they are in, and
//! only then handed to the threads that serve agents.
//!
//! In a storm, tens of thousands of connections become readable at one moment. On the same threads, the
//! heartbeats of agents that are in would stand in line behind them, for a third of a second on a small
//! machine, and nothing that the gate decides could change it: what is decided comes after what is read.
//! Threads of its own make the door compete as a few threads, among which the system is fair.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// See the module. Dropped, it closes every connection that is not in.
pub struct AcceptRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl AcceptRuntime {
    /// Half as many threads as there are processors: a storm may take that much from those who are in.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn open() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads((cores / 2).max(1))
            .thread_name("seawall-door")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for AcceptRuntime {
    fn drop(&mut self) {
        // It may be dropped on another runtime's thread, which must not wait for anything.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
