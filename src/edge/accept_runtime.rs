//! The accept runtime: its threads accept connections, read their heads and let them wait until they are
//! admitted. Then they hand them to the runtime that serves agents.
//!
//! In a storm tens of thousands of connections become readable at one moment. On common threads the heartbeats
//! of admitted agents would stand in line behind them, for a third of a second on a small machine. Admission
//! could do little about it, because it decides after the head is read. With threads of its own, accepting
//! competes as a few threads, among which the system is fair.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// See the module's text. Dropping it closes every connection that is still to be admitted.
pub(crate) struct AcceptRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl AcceptRuntime {
    /// Half as many threads as there are processors: a storm may take that much from admitted agents.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub(crate) fn open() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads((cores / 2).max(1))
            .thread_name("seawall-accept")
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
        // It may be dropped on another runtime's thread, which must go on at once.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
