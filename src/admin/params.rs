//! Settings of the administration listener, already validated. `config` builds them.

use std::net::SocketAddr;

/// What the administration listener needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminParams {
    /// Where it listens. There is no authentication: keep it on the machine or a private network.
    pub listen: SocketAddr,
}

impl Default for AdminParams {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}
