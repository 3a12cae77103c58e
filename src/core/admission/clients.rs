//! Kinds of clients, by what a request's head tells: its transport, its `User-Agent`, and whether it names its agent.
//!
//! The figures are measured (docs/FIELD-NOTES.md, section 1). Each wait stays below the client's own deadline, with
//! room for a network. An operator's kinds come before these.

use std::time::Duration;

use super::patience::{ClientPatience, Queue, RefusalForm};

/// How an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTransport {
    /// A WebSocket.
    WebSocket,
    /// Plain HTTP: one request, one answer.
    Http,
}

/// What a request's head tells of the client that sent it. Its own words: none of them may gain it anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHead<'a> {
    /// How it speaks.
    pub transport: ClientTransport,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// It names its agent (`OpAMP-Instance-UID`).
    pub names_agent: bool,
}

/// A kind of client that an operator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRule {
    /// What its `User-Agent` begins with.
    pub user_agent: String,
    /// How it speaks; empty: on either transport.
    pub transport: Option<ClientTransport>,
    /// What it bears.
    pub patience: ClientPatience,
}

/// All kinds: an operator's first, then the ones that are built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTable {
    rules: Vec<ClientRule>,
    /// How long an answer over HTTP takes at most.
    answer: Duration,
}

/// At most this many kinds can be configured.
pub const CLIENT_RULES_MAX: usize = 64;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl ClientTable {
    /// `answer`: how long an answer over HTTP takes at most, which counts as waiting.
    pub const fn new(rules: Vec<ClientRule>, answer: Duration) -> Self {
        Self { rules, answer }
    }

    /// What the client with this head bears.
    pub fn patience(&self, head: ClientHead<'_>) -> ClientPatience {
        let begins = |with: &str| {
            head.user_agent.is_some_and(|user_agent| user_agent.starts_with(with.as_bytes()))
        };
        let rule = self.rules.iter().find(|rule| {
            begins(&rule.user_agent)
                && rule.transport.is_none_or(|transport| transport == head.transport)
        });
        let patience = rule.map_or_else(|| built_in(head, begins), |rule| rule.patience);
        match head.transport {
            ClientTransport::Http => patience.answered_in(self.answer),
            ClientTransport::WebSocket => patience,
        }
    }
}

/// The kinds that are known without configuration.
fn built_in(head: ClientHead<'_>, begins: impl Fn(&str) -> bool) -> ClientPatience {
    let http = head.transport == ClientTransport::Http;
    if http && begins("OTel-OpAMP-Python/") {
        // It gives up after 1 s and tries again by itself, whatever it is told.
        return ClientPatience::new(Duration::from_millis(700), Duration::ZERO)
            .waiting_in(Queue::Untold);
    }
    if begins("okhttp/") {
        // Java: 10 s on each transport; it obeys what comes in-band.
        return ClientPatience::new(secs(8), Duration::ZERO).refused_by(RefusalForm::Message);
    }
    if begins("@elastic/opamp-client-node/") {
        return ClientPatience::new(secs(8), secs(5)).away_for(secs(30));
    }
    match (head.user_agent, head.names_agent) {
        // .NET: it waits for 100 s, and never again sends a description that was refused.
        (None, true) => {
            return ClientPatience::new(secs(90), Duration::ZERO).waiting_in(Queue::Patient);
        }
        // otel-arrow: without a deadline.
        (None, false) if !http => return ClientPatience::LONG,
        // newrelic-opamp-rs: it waits for 30 s, and comes each 30 s whatever it is told. Only while it waits can it be
        // let in.
        (None, false) => return ClientPatience::new(secs(25), secs(5)),
        _ => {}
    }
    if begins("Go-http-client/") {
        ClientPatience::LONG
    } else if http {
        ClientPatience::new(secs(8), secs(5))
    } else {
        ClientPatience::new(secs(20), secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientTransport::{Http, WebSocket};

    const ANSWER: Duration = Duration::from_millis(500);

    fn of(
        table: &ClientTable,
        transport: ClientTransport,
        user_agent: Option<&str>,
    ) -> ClientPatience {
        let user_agent = user_agent.map(str::as_bytes);
        table.patience(ClientHead { transport, user_agent, names_agent: false })
    }

    #[test]
    fn each_stock_client_is_let_wait_for_less_than_it_waits() {
        let table = ClientTable::new(Vec::new(), ANSWER);
        let known = |transport, user_agent| of(&table, transport, Some(user_agent));
        let python = known(Http, "OTel-OpAMP-Python/0.5b0");
        assert_eq!((python.queue, python.wait()), (Queue::Untold, Duration::from_millis(700)));
        for (transport, park_max) in [(Http, secs(8) - ANSWER), (WebSocket, secs(8))] {
            let java = known(transport, "okhttp/5.1.0");
            assert_eq!(java.refusal, RefusalForm::Message);
            assert_eq!((java.park_max(), java.hold()), (park_max, Duration::ZERO));
        }
        let node = known(Http, "@elastic/opamp-client-node/0.5.0");
        assert_eq!((node.retry_min(), node.hold()), (secs(30), secs(5)));
        assert_eq!(node.refusal, RefusalForm::Status);
        assert!(known(Http, "Go-http-client/1.1").park_max() > secs(3_600));
        assert_eq!(known(Http, "curl/8.0").wait(), secs(8));
        assert_eq!(known(WebSocket, "Python-urllib/3").wait(), secs(20));
    }

    #[test]
    fn a_client_without_a_name_is_told_by_transport_and_header() {
        let table = ClientTable::new(Vec::new(), ANSWER);
        assert_eq!(of(&table, WebSocket, None), ClientPatience::LONG);
        let newrelic = of(&table, Http, None);
        assert_eq!((newrelic.wait(), newrelic.queue), (secs(25), Queue::Park));
        for transport in [Http, WebSocket] {
            let head = ClientHead { transport, user_agent: None, names_agent: true };
            let dotnet = table.patience(head);
            assert_eq!((dotnet.queue, dotnet.wait()), (Queue::Patient, secs(90)));
            let named = ClientHead { user_agent: Some(b"Go-http-client/1.1"), ..head };
            assert_eq!(table.patience(named).queue, Queue::Park);
        }
    }

    #[test]
    fn an_operators_kinds_come_first_and_in_their_order() {
        let rule = |user_agent: &str, transport, wait| ClientRule {
            user_agent: user_agent.to_owned(),
            transport,
            patience: ClientPatience::new(secs(wait), Duration::ZERO),
        };
        let rules = vec![
            rule("okhttp/4", Some(Http), 3),
            rule("okhttp/", Some(Http), 4),
            rule("acme", None, 5),
        ];
        let table = ClientTable::new(rules, ANSWER);
        let wait = |transport, user_agent| of(&table, transport, Some(user_agent)).wait();
        assert_eq!((wait(Http, "okhttp/4.9"), wait(Http, "okhttp/5.0")), (secs(3), secs(4)));
        assert_eq!(wait(WebSocket, "okhttp/5.0"), secs(8), "its other transport is built in");
        assert_eq!((wait(Http, "acme/1"), wait(WebSocket, "acme/1")), (secs(5), secs(5)));
    }
}
