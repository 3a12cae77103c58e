//! Settings of admission, already validated. `config` builds them.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::core::admission::{AdmissionParams, AutomaticRate, ClientRule};

/// What tells the sources of arrivals apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFrom {
    /// The peer's address: IPv4 as it is, of IPv6 the first 64 bits.
    Peer,
    /// The last address in `X-Forwarded-For`, which the balancer right before Seawall has added; if the
    /// header is missing, the peer's.
    Forwarded,
    /// The credential alone: behind a balancer that hides addresses, all seem to come from it.
    Nothing,
}

/// What admission needs to know. Every limit has a default; see `config/seawall.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Entries a second; empty: automatic, what the machine bears.
    pub rate: Option<NonZeroU32>,
    /// The bounds. Their rate is the one that an automatic rate begins with, their burst that of a rate
    /// that is set.
    pub admission: AdmissionParams,
    /// How many agents there are at least, connected or disconnected; 0: as many as were seen.
    pub fleet_size: u64,
    /// What tells sources apart.
    pub source: SourceFrom,
    /// The part of rate and park that one source may take before others go first, in percent.
    pub source_share_percent: u8,
    /// At least this many arrivals at once are within any source's share: a NAT has many agents behind it.
    pub source_burst_min: NonZeroU32,
    /// Kinds of clients that the operator knows, before the built-in ones.
    pub clients: Vec<ClientRule>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            rate: None,
            admission: AdmissionParams::new(AutomaticRate::new(threads).rate()),
            fleet_size: 0,
            source: SourceFrom::Peer,
            source_share_percent: 25,
            source_burst_min: NonZeroU32::new(2_000).unwrap_or(NonZeroU32::MIN),
            clients: Vec::new(),
        }
    }
}
