//! Placeholder until the gateway is wired.

use std::future::Future;

use crate::config::Config;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs until `shutdown` completes.
///
/// # Errors
/// If it cannot start.
pub async fn run(
    _config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    shutdown.await;
    Ok(())
}
