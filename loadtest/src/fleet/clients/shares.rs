//! Which agent of a fleet is which client: all the same, or by the shares of a file.

use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::ClientKind;
use super::habits::{Habits, Transport};
use crate::fleet::agent::Behaviour;
use crate::fleet::mix::Mix;

/// A client and its share of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClientShare {
    pub(crate) kind: ClientKind,
    pub(crate) transport: Transport,
    /// Of the sum of all.
    share: f64,
    /// It says that it is this program instead of the client that it behaves as.
    is_plain: bool,
}

/// What a plain agent says that it is.
const PLAIN: &str = "loadtest";

impl ClientShare {
    /// A client by its transport.
    ///
    /// # Errors
    /// When it does not speak in that way.
    fn new(kind: ClientKind, transport: Option<Transport>, share: f64) -> Result<Self, String> {
        let has = kind.habits().transports;
        let transport = transport.or(has.first().copied()).unwrap_or(Transport::WebSocket);
        if !has.contains(&transport) {
            let transport = if transport == Transport::Http { "HTTP" } else { "WebSockets" };
            return Err(format!("{} does not speak over {transport}", kind.title()));
        }
        Ok(Self { kind, transport, share, is_plain: false })
    }

    /// What it does.
    pub(crate) const fn habits(self) -> &'static Habits {
        self.kind.habits()
    }

    /// What it says that it is.
    pub(crate) const fn user_agent(self) -> Option<&'static str> {
        if self.is_plain { Some(PLAIN) } else { self.habits().user_agent }
    }
}

/// The clients of a fleet; at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClientShares(Vec<ClientShare>);

impl ClientShares {
    /// All of one kind.
    ///
    /// # Errors
    /// When it does not speak in that way.
    pub(crate) fn all(kind: ClientKind, transport: Option<Transport>) -> Result<Self, String> {
        Ok(Self(vec![ClientShare::new(kind, transport, 1.0)?]))
    }

    /// Agents that behave as opamp-go on WebSockets, and say that they are this program.
    pub(crate) fn plain(behaviour: Behaviour) -> Self {
        let kind = match behaviour {
            Behaviour::FullOnReconnect => ClientKind::OpampGo022,
            Behaviour::DeltaOnReconnect => ClientKind::OpampGo,
        };
        let transport = Transport::WebSocket;
        Self(vec![ClientShare { kind, transport, share: 1.0, is_plain: true }])
    }

    /// Reads a file of shares.
    ///
    /// # Errors
    /// When there is none, or it is malformed; the error says where.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        text.parse().map_err(|fault| format!("{}: {fault}", path.display()))
    }

    /// By their places.
    pub(crate) fn parts(&self) -> &[ClientShare] {
        &self.0
    }

    /// The place of the client that the agent with this number is.
    pub(crate) fn place_of(&self, seed: u64, index: u32) -> usize {
        if self.0.len() == 1 {
            return 0;
        }
        let total: f64 = self.0.iter().map(|part| part.share).sum();
        let mut drawn =
            Mix::new(seed, index.into(), u64::from_be_bytes(*b"a client")).unit() * total;
        let falls_here = |part: &ClientShare| {
            drawn -= part.share;
            drawn < 0.0
        };
        self.0.iter().position(falls_here).unwrap_or(self.0.len() - 1)
    }

    /// How many of these agents a client is for which this holds.
    pub(crate) fn count(
        &self,
        seed: u64,
        indices: std::ops::Range<u32>,
        holds: impl Fn(&ClientShare) -> bool,
    ) -> u32 {
        let is_one = |index: &u32| holds(&self.0[self.place_of(seed, *index)]);
        u32::try_from(indices.filter(is_one).count()).unwrap_or(u32::MAX)
    }

    /// Whether this holds for one of the clients.
    pub(crate) fn any(&self, holds: impl Fn(&ClientShare) -> bool) -> bool {
        self.0.iter().any(holds)
    }

    /// As a reader knows them.
    pub(crate) fn title(&self) -> String {
        if self.0.len() > 1 { "a mix".to_owned() } else { self.0[0].kind.title() }
    }
}

impl FromStr for ClientShares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
        let mut parts = Vec::new();
        for (name, share) in &table {
            #[allow(clippy::cast_precision_loss, reason = "a share")]
            let number = share.as_float().or_else(|| share.as_integer().map(|whole| whole as f64));
            let share = number.filter(|share| *share > 0.0 && share.is_finite());
            let share = share.ok_or_else(|| format!("`{name}`: the share must be above 0"))?;
            let (kind, transport) = named(name)?;
            let part = ClientShare::new(kind, transport, share);
            parts.push(part.map_err(|fault| format!("`{name}`: {fault}"))?);
        }
        if parts.is_empty() {
            return Err("no client; write for example `opamp-go = 70`".to_owned());
        }
        Ok(Self(parts))
    }
}

/// `opamp-go`, or `opamp-go/http`.
fn named(name: &str) -> Result<(ClientKind, Option<Transport>), String> {
    let (kind, transport) = match name.split_once('/') {
        Some((kind, transport)) => (kind, Some(transport)),
        None => (name, None),
    };
    let kinds = || ClientKind::value_variants().iter().map(|kind| kind.title()).collect::<Vec<_>>();
    let kind = ClientKind::from_str(kind, false)
        .map_err(|_| format!("`{name}` is not a client; there are {}", kinds().join(", ")))?;
    let transport = transport.map(|transport| {
        Transport::from_str(transport, false)
            .map_err(|_| format!("`{name}`: the transport is websocket or http"))
    });
    Ok((kind, transport.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_agents_drawn_by_them() {
        let shares: ClientShares =
            "opamp-go = 60\n\"opamp-go/http\" = 20\nnode = 20.0".parse().unwrap();
        let of = |holds: fn(&ClientShare) -> bool| shares.count(1, 0..10_000, holds);
        let node = of(|part| part.kind == ClientKind::Node);
        let posting = of(|part| part.transport == Transport::Http);
        assert!(
            (1_800..2_200).contains(&node) && (3_800..4_200).contains(&posting),
            "{node} {posting}"
        );
        let again: ClientShares =
            serde_json::from_str(&serde_json::to_string(&shares).unwrap()).unwrap();
        assert_eq!(again.place_of(1, 77), shares.place_of(1, 77));
        let all = ClientShares::all(ClientKind::Python, None).unwrap();
        assert_eq!((all.place_of(1, 5), all.title()), (0, "python".to_owned()));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, fault) in [
            ("", "no client"),
            ("ruby = 1", "`ruby` is not a client"),
            ("node = 0", "above 0"),
            ("node = \"x\"", "above 0"),
            ("\"node/websocket\" = 1", "does not speak over WebSockets"),
            ("\"node/carrier\" = 1", "websocket or http"),
        ] {
            let said = text.parse::<ClientShares>().unwrap_err();
            assert!(said.contains(fault), "{text}: {said}");
        }
        assert!(ClientShares::all(ClientKind::JavaWs, Some(Transport::Http)).is_err());
        assert!(ClientShares::read(Path::new("/nowhere.toml")).unwrap_err().contains("nowhere"));
    }

    #[test]
    fn the_sample_holds_every_client() {
        let sample: ClientShares = include_str!("../../../clients/field.toml").parse().unwrap();
        for kind in ClientKind::value_variants() {
            assert!(sample.any(|part| part.kind == *kind), "{kind:?}");
        }
    }

    #[test]
    fn a_plain_agent_says_that_it_is_this_program() {
        let plain = ClientShares::plain(Behaviour::FullOnReconnect);
        assert_eq!(plain.parts()[0].kind, ClientKind::OpampGo022);
        assert_eq!(plain.parts()[0].user_agent(), Some("loadtest"));
    }
}
