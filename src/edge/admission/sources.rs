//! Where an arrival comes from, by what its transport and its request's headers say.
//!
//! A source is an address (of IPv6 its prefix, because its holder has all of the addresses in it) or a
//! credential. Which sources are over their share `core::admission` decides.
//!
//! What identifies a source or an agent is hashed with a secret of the process, so that an attacker cannot
//! aim at another one's hash.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::params::SourceFrom;
use crate::core::admission::{
    ClientHead, ClientPatience, ClientTable, ClientTransport, Identity, SourceCount, TopSources,
};
use crate::ident::InstanceUid;

/// The header by which an agent names itself (OpAMP specification, "Plain HTTP Transport").
const INSTANCE_UID: &str = "opamp-instance-uid";

/// What a request's head says about its sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::edge) struct ArrivalSource {
    /// The hashes of its address and of its credential.
    pub(super) sources: [Option<u64>; 2],
    /// The same two, as an operator is told of them.
    pub(super) named: [Option<NamedSource>; 2],
    pub(super) identity: Option<Identity>,
    /// See [`crate::core::admission::Arrival`].
    pub(in crate::edge) needs_no_place: bool,
    /// See [`crate::core::admission::Arrival`].
    pub(in crate::edge) in_session: bool,
    /// What its client bears.
    pub(in crate::edge) patience: ClientPatience,
}

/// A source under a name that an operator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NamedSource {
    /// What one subscriber has: see [`prefix`].
    Address([u8; 8]),
    /// The first bytes of the SHA-256 of an `Authorization` header's value: an operator who has the credential
    /// knows it again, and no other reader learns anything.
    Credential([u8; 4]),
}

impl NamedSource {
    fn of_credential(value: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, value);
        let mut first = [0; 4];
        first.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self::Credential(first)
    }
}

impl fmt::Display for NamedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address([0xff, 0xff, 0xff, 0xff, a, b, c, d]) => {
                write!(f, "{}", Ipv4Addr::new(a, b, c, d))
            }
            Self::Address(prefix) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(&prefix);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
            Self::Credential(bytes) => {
                f.write_str("sha256:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The busiest sources of each kind, the busiest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFigures {
    pub(crate) addresses: Vec<(NamedSource, SourceCount)>,
    pub(crate) credentials: Vec<(NamedSource, SourceCount)>,
}

impl SourceFigures {
    /// How many of each are told.
    const TOLD: usize = 10;

    pub(super) fn of(top: &mut TopSources<NamedSource>, now: Instant) -> Self {
        let (mut addresses, mut credentials) = (Vec::new(), Vec::new());
        for (source, count) in top.top(usize::MAX, now) {
            let list = match source {
                NamedSource::Address(_) => &mut addresses,
                NamedSource::Credential(_) => &mut credentials,
            };
            if list.len() < Self::TOLD {
                list.push((source, count));
            }
        }
        Self { addresses, credentials }
    }
}

/// Reads sources from headers.
pub(super) struct SourceReader {
    source: SourceFrom,
    clients: ClientTable,
    hasher: RandomState,
}

impl SourceReader {
    pub(super) fn new(source: SourceFrom, clients: ClientTable) -> Self {
        Self { source, clients, hasher: RandomState::new() }
    }

    /// Reads name and value of each header. They are the sender's own words, trusted for this alone.
    pub(super) fn read<'a>(
        &self,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        (peer, transport): (SocketAddr, ClientTransport),
    ) -> ArrivalSource {
        let mut source = ArrivalSource::default();
        let mut address = Some(peer.ip());
        let mut user_agent = None;
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("authorization") {
                source.sources[1] = Some(self.hasher.hash_one(value));
                source.named[1] = Some(NamedSource::of_credential(value));
            } else if name.eq_ignore_ascii_case(INSTANCE_UID) {
                source.identity = Some(Identity::new(self.hasher.hash_one(value)));
            } else if name.eq_ignore_ascii_case("user-agent") {
                user_agent = Some(value);
            } else if self.source == SourceFrom::Forwarded
                && name.eq_ignore_ascii_case("x-forwarded-for")
            {
                address = last_address(value).or(address);
            }
        }
        if self.source == SourceFrom::Nothing {
            address = None;
        }
        let names_agent = source.identity.is_some();
        source.patience = self.clients.patience(ClientHead { transport, user_agent, names_agent });
        let prefix = address.map(prefix);
        source.sources[0] = prefix.map(|prefix| self.hasher.hash_one(prefix));
        source.named[0] = prefix.map(NamedSource::Address);
        source
    }
}

impl SourceReader {
    /// An agent that comes on a connection which others use: it has no headers of its own.
    pub(super) fn of_agent(&self, uid: InstanceUid, peer: SocketAddr) -> ArrivalSource {
        let identity = Identity::new(self.hasher.hash_one(uid.to_string().as_bytes()));
        let source = self.read(std::iter::empty(), (peer, ClientTransport::WebSocket));
        ArrivalSource { identity: Some(identity), ..source }
    }
}

/// The agent that a request's headers name, by its own word.
pub(in crate::edge) fn named_agent<'a>(
    mut headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<InstanceUid> {
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(INSTANCE_UID))?;
    std::str::from_utf8(value).ok().and_then(InstanceUid::parse)
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
            // Routed IPv6 prefixes begin otherwise.
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
    use std::time::Duration;

    use super::*;
    use crate::websocket::RequestHead;

    fn source(reader: &SourceReader, peer: &str, headers: &str) -> ArrivalSource {
        let text = format!("GET /v1/opamp HTTP/1.1\r\n{headers}\r\n");
        let head = RequestHead::parse(text.as_bytes()).unwrap().unwrap();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        reader.read(head.headers.iter(), (peer, ClientTransport::WebSocket))
    }

    fn reader(source: SourceFrom) -> SourceReader {
        SourceReader::new(source, ClientTable::new(Vec::new(), Duration::ZERO))
    }

    #[test]
    fn a_source_is_an_address_or_a_prefix_or_what_the_balancer_says() {
        let peer = reader(SourceFrom::Peer);
        let of = |reader: &SourceReader, peer: &str, headers: &str| {
            source(reader, peer, headers).sources[0]
        };
        assert_ne!(of(&peer, "10.0.0.1", ""), of(&peer, "10.0.0.2", ""));
        assert_eq!(of(&peer, "10.0.0.1", ""), of(&peer, "::ffff:10.0.0.1", ""));
        assert_eq!(of(&peer, "2001:db8::1", ""), of(&peer, "2001:db8::ffff:2", ""));
        assert_ne!(of(&peer, "2001:db8::1", ""), of(&peer, "2001:db8:0:1::1", ""));
        let told = "X-Forwarded-For: 10.9.9.9, 10.0.0.7:80\r\n";
        assert_eq!(of(&peer, "10.0.0.1", told), of(&peer, "10.0.0.1", ""));
        let forwarded = reader(SourceFrom::Forwarded);
        assert_eq!(of(&forwarded, "10.0.0.1", told), of(&forwarded, "10.0.0.7", ""));
        assert_eq!(
            of(&forwarded, "10.0.0.1", "X-Forwarded-For: unknown\r\n"),
            of(&forwarded, "10.0.0.1", "")
        );
        assert_eq!(of(&reader(SourceFrom::Nothing), "10.0.0.1", told), None);
    }

    #[test]
    fn a_credential_is_a_source_and_a_uid_an_identity() {
        let reader = reader(SourceFrom::Nothing);
        let anonymous = source(&reader, "10.0.0.1", "");
        assert_eq!(anonymous, ArrivalSource::default());
        let known =
            source(&reader, "10.0.0.1", "Authorization: Bearer x\r\nOpAMP-Instance-UID: 0192\r\n");
        assert!(known.sources[1].is_some() && known.identity.is_some());
    }

    #[test]
    fn sources_have_names_that_an_operator_knows() {
        let reader = reader(SourceFrom::Peer);
        let named = |peer: &str, headers: &str| {
            source(&reader, peer, headers).named.map(|name| name.map(|name| name.to_string()))
        };
        let credential = "Authorization: Bearer x\r\n";
        let text = |text: &str| Some(text.to_owned());
        // printf 'Bearer x' | sha256sum
        assert_eq!(named("10.0.0.1", credential), [text("10.0.0.1"), text("sha256:b937a6fd")]);
        assert_eq!(named("2001:db8::1", ""), [text("2001:db8::/64"), None]);
    }

    #[test]
    fn an_agent_is_named_by_a_uid_and_by_nothing_else() {
        let uid = InstanceUid::from_bytes([7; 16]);
        let text = uid.to_string();
        let named = |name, value: &str| {
            named_agent([("host", &b"x"[..]), (name, value.as_bytes())].into_iter())
        };
        assert_eq!(named("OpAMP-Instance-UID", &text), Some(uid));
        assert_eq!(named("OpAMP-Instance-UID", "0192"), None);
        assert_eq!(named("Instance-UID", &text), None);
    }
}
