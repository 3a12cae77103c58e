//! The servers as such, whatever leads to them: their state, their pace, and which of them an agent
//! belongs to. Links and tasks are for the modules above.

mod server;
mod shared_pacer;
mod shared_suspects;

use std::sync::Arc;
use std::time::Instant;

pub(super) use server::{MessageFailure, Server};
pub(super) use shared_suspects::{Apart, HowEnded};

use super::params::UpstreamParams;
use super::voice::Voice;
use crate::core::pacing::Class;
use crate::core::placement;
use crate::ident::{InstanceUid, ServerId};
use crate::tls::TlsError;

/// All servers, in the order of the configuration.
pub(super) struct Servers {
    pub(super) params: UpstreamParams,
    pub(super) voice: Arc<Voice>,
    all: Vec<Arc<Server>>,
}

impl Servers {
    /// # Errors
    /// If a server's configuration makes dialling it impossible: its name, and why.
    pub(super) fn new(params: UpstreamParams, now: Instant) -> Result<Self, (String, TlsError)> {
        let voice = Arc::<Voice>::default();
        let make = |(index, one)| {
            let one: &super::params::ServerParams = one;
            let id = ServerId(u16::try_from(index).unwrap_or(u16::MAX));
            let server = Server::new((id, one), &params, &voice, now);
            server.map(Arc::new).map_err(|error| (one.name.clone(), error))
        };
        let all = params.servers.iter().enumerate().map(make).collect::<Result<_, _>>()?;
        Ok(Self { params, voice, all })
    }

    pub(super) fn get(&self, id: ServerId) -> Option<&Arc<Server>> {
        self.all.get(usize::from(id.0))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.all.iter()
    }

    /// Whether agents can be moved to another server.
    pub(super) const fn has_others(&self) -> bool {
        self.all.len() > 1
    }

    /// The server an agent belongs to, as `core::placement` decides. With one server, always that.
    pub(super) fn place(&self, uid: InstanceUid) -> Option<&Arc<Server>> {
        if let [only] = self.all.as_slice() {
            return Some(only);
        }
        let servers = self.all.iter().map(|server| (server.seed, server.is_in_use()));
        self.all.get(placement::place(uid, servers)?)
    }

    /// A session waits for a permit at its server.
    pub(super) fn enqueue(&self, uid: InstanceUid, class: Class) {
        if let Some(server) = self.place(uid) {
            server.pacer.enqueue(uid, class);
        }
    }

    /// Sessions that wait at `server` go to wherever they belong now.
    pub(super) fn pass_on(&self, server: &Server) {
        if self.has_others() {
            for (uid, class) in server.pacer.drain() {
                self.enqueue(uid, class);
            }
        }
    }
}
