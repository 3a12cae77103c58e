//! Settings of entry, already validated. `config` builds them.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::core::admission::{AdmissionParams, AutomaticRate};

/// By what arrivals are told apart that come from different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFrom {
    /// The peer's address: IPv4 as it is, of IPv6 the first 64 bits.
    Peer,
    /// The last address in `X-Forwarded-For`, which the balancer right before Seawall has added; the
    /// peer's where there is none.
    Forwarded,
    /// By nothing: where a balancer hides addresses, all seem to come from it.
    Nothing,
}

/// What entry needs to know. Every limit has a default; see `config/seawall.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Entries a second; none: what the machine bears.
    pub rate: Option<NonZeroU32>,
    /// Everything else that the gate is told. Its rate is what an automatic one begins with, its burst
    /// that of a rate that is set.
    pub admission: AdmissionParams,
    /// So many agents there are at least, connected or not; 0: as many as were seen.
    pub fleet_size: u64,
    /// How sources are told apart.
    pub source: SourceFrom,
    /// The part of rate and park that one source may take before others go first, of a hundred.
    pub source_share_percent: u8,
    /// Arrivals at once that are within any source's share: a NAT has many agents behind it.
    pub source_burst_min: NonZeroU32,
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
        }
    }
}
