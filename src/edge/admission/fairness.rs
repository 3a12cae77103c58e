//! Where arrivals come from, and which sources send more than their share.
//!
//! A source is an address (of IPv6 its prefix: whoever has one has all of it) or a credential. Each has a
//! share of the rate, and may bring as many at once as its share of the park holds. Whoever comes beyond
//! that is let in like anybody else while there is room for all, and goes behind others when there is not
//! (`core::admission`): a NAT with thousands of agents is not starved, and one address cannot take it all.
//!
//! Keys are hashed with a secret of the process, so that nobody can aim at another's.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::RwLock;

use super::params::{AdmissionSettings, SourceFrom};
use crate::core::admission::{Arrival, Identity};
use crate::websocket::RequestHead;

/// So many sources, and the idle ones are swept with each observation instead of each hundredth.
const SOURCES_MANY: usize = 10_000;

/// What a request's head says about who sends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::edge) struct ArrivalSource {
    /// The hashes of its address and of its credential.
    sources: [Option<u64>; 2],
    identity: Option<Identity>,
}

pub(super) struct Fairness {
    limits: RwLock<Limits>,
    source: SourceFrom,
    share: f64,
    burst_min: NonZeroU32,
    hasher: RandomState,
}

struct Limits {
    limiter: DefaultKeyedRateLimiter<u64>,
    /// What it was made for.
    rate: NonZeroU32,
    observations: u32,
}

impl Fairness {
    pub(super) fn new(params: &AdmissionSettings, rate: NonZeroU32, places: usize) -> Self {
        let share = f64::from(params.source_share_percent) / 100.0;
        let limiter = limiter(share, params.source_burst_min, rate, places);
        Self {
            limits: RwLock::new(Limits { limiter, rate, observations: 0 }),
            source: params.source,
            share,
            burst_min: params.source_burst_min,
            hasher: RandomState::new(),
        }
    }

    /// Reads what is told before anything else: nothing of it is believed further than this.
    pub(super) fn read(&self, head: &RequestHead<'_>, peer: SocketAddr) -> ArrivalSource {
        let mut source = ArrivalSource::default();
        let mut address = Some(peer.ip());
        for (name, value) in head.headers.iter() {
            if name.eq_ignore_ascii_case("authorization") {
                source.sources[1] = Some(self.hasher.hash_one(value));
            } else if name.eq_ignore_ascii_case("opamp-instance-uid") {
                source.identity = Some(Identity::new(self.hasher.hash_one(value)));
            } else if self.source == SourceFrom::Forwarded
                && name.eq_ignore_ascii_case("x-forwarded-for")
            {
                address = last_address(value).or(address);
            }
        }
        if self.source == SourceFrom::Nothing {
            address = None;
        }
        source.sources[0] = address.map(|address| self.hasher.hash_one(prefix(address)));
        source
    }

    /// Counts an arrival.
    pub(super) fn count(&self, source: ArrivalSource) -> Arrival {
        let limits = self.limits.read();
        // Both are counted, whatever the first says.
        let over = source
            .sources
            .map(|source| source.is_some_and(|source| limits.limiter.check_key(&source).is_err()));
        Arrival { over_share: over.contains(&true), identity: source.identity }
    }

    /// Follows the gate's rate, and forgets sources that have their whole share again.
    pub(super) fn keep_step(&self, rate: NonZeroU32, places: usize) {
        let mut limits = self.limits.write();
        let (now, then) = (f64::from(rate.get()), f64::from(limits.rate.get()));
        if now > then * 1.5 || now < then / 1.5 {
            // What was counted at another rate says little about this one.
            let limiter = limiter(self.share, self.burst_min, rate, places);
            *limits = Limits { limiter, rate, observations: 0 };
            return;
        }
        limits.observations += 1;
        if limits.observations.is_multiple_of(100) || limits.limiter.len() > SOURCES_MANY {
            limits.limiter.retain_recent();
            limits.limiter.shrink_to_fit();
        }
    }

    pub(super) fn sources(&self) -> usize {
        self.limits.read().limiter.len()
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn limiter(
    share: f64,
    burst_min: NonZeroU32,
    rate: NonZeroU32,
    places: usize,
) -> DefaultKeyedRateLimiter<u64> {
    let part = |of: f64| NonZeroU32::new((of * share) as u32).unwrap_or(NonZeroU32::MIN);
    let burst = part(places as f64).max(burst_min);
    let quota = Quota::per_second(part(f64::from(rate.get()))).allow_burst(burst);
    RateLimiter::keyed(quota)
}

/// The last address of a list such as `203.0.113.7, 10.0.0.2`, with or without its port.
fn last_address(value: &[u8]) -> Option<IpAddr> {
    let last = std::str::from_utf8(value).ok()?.rsplit(',').next()?.trim();
    last.parse().ok().or_else(|| last.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

/// What one subscriber has: an IPv4 address, or 64 bits of IPv6 (RFC 6177).
fn prefix(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            // No IPv6 prefix that is routed begins like this.
            [0xff, 0xff, 0xff, 0xff, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            [a, b, c, d, e, f, g, h]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fairness(source: SourceFrom) -> Fairness {
        let params = AdmissionSettings {
            source,
            source_burst_min: NonZeroU32::new(3).unwrap(),
            ..AdmissionSettings::default()
        };
        Fairness::new(&params, NonZeroU32::new(8).unwrap(), 16)
    }

    fn source(fairness: &Fairness, peer: &str, headers: &str) -> ArrivalSource {
        let text = format!("GET /v1/opamp HTTP/1.1\r\n{headers}\r\n");
        let head = RequestHead::parse(text.as_bytes()).unwrap().unwrap();
        fairness.read(&head, SocketAddr::new(peer.parse().unwrap(), 1))
    }

    #[test]
    fn a_source_is_an_address_or_a_prefix_or_what_the_balancer_says() {
        let peer = fairness(SourceFrom::Peer);
        let of = |fairness: &Fairness, peer: &str, headers: &str| {
            source(fairness, peer, headers).sources[0]
        };
        assert_ne!(of(&peer, "10.0.0.1", ""), of(&peer, "10.0.0.2", ""));
        assert_eq!(of(&peer, "10.0.0.1", ""), of(&peer, "::ffff:10.0.0.1", ""));
        assert_eq!(of(&peer, "2001:db8::1", ""), of(&peer, "2001:db8::ffff:2", ""));
        assert_ne!(of(&peer, "2001:db8::1", ""), of(&peer, "2001:db8:0:1::1", ""));
        let told = "X-Forwarded-For: 10.9.9.9, 10.0.0.7:80\r\n";
        assert_eq!(of(&peer, "10.0.0.1", told), of(&peer, "10.0.0.1", ""));
        let forwarded = fairness(SourceFrom::Forwarded);
        assert_eq!(of(&forwarded, "10.0.0.1", told), of(&forwarded, "10.0.0.7", ""));
        assert_eq!(
            of(&forwarded, "10.0.0.1", "X-Forwarded-For: unknown\r\n"),
            of(&forwarded, "10.0.0.1", "")
        );
        assert_eq!(of(&fairness(SourceFrom::Nothing), "10.0.0.1", told), None);
    }

    #[test]
    fn a_credential_is_a_source_and_a_uid_an_identity() {
        let fairness = fairness(SourceFrom::Nothing);
        let anonymous = source(&fairness, "10.0.0.1", "");
        assert_eq!(anonymous, ArrivalSource::default());
        let known = source(
            &fairness,
            "10.0.0.1",
            "Authorization: Bearer x\r\nOpAMP-Instance-UID: 0192\r\n",
        );
        assert!(known.sources[1].is_some() && known.identity.is_some());
    }

    #[test]
    fn more_than_its_share_is_told_and_the_others_are_not_concerned() {
        let fairness = fairness(SourceFrom::Peer);
        let [many, few] = ["10.0.0.1", "10.0.0.2"].map(|peer| source(&fairness, peer, ""));
        let over = |source| fairness.count(source).over_share;
        assert_eq!((0..6).filter(|_| over(many)).count(), 2, "a burst of four: of sixteen places");
        assert!(!over(few));
        assert_eq!(fairness.sources(), 2);
    }

    #[test]
    fn idle_sources_are_swept() {
        let fairness = fairness(SourceFrom::Peer);
        let fast = NonZeroU32::new(8_000).unwrap();
        fairness.keep_step(fast, 16);
        fairness.count(source(&fairness, "10.0.0.1", ""));
        (0..99).for_each(|_| fairness.keep_step(fast, 16));
        assert_eq!(fairness.sources(), 1);
        // Four at two thousand a second: then it has its whole share again.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fairness.keep_step(fast, 16);
        assert_eq!(fairness.sources(), 0);
    }
}
