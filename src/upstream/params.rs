//! Settings of the servers and the links to them, already validated. `config` builds them.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use crate::core::backoff;
use crate::core::server::KeyedBy;

/// How agents share connections to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All agents over a fixed number of WebSockets.
    Multiplexed {
        /// How many.
        links: NonZeroU16,
    },
    /// One WebSocket an agent, for servers whose pushes lack a uid or that key state by
    /// connection.
    PerAgent,
    /// Each message a POST, for servers that have the plain-HTTP transport alone.
    Http {
        /// Pooled keep-alive connections; each carries one request at a time.
        connections: NonZeroU16,
        /// How often the server is asked on behalf of each agent whether it has something for it.
        poll_interval: Duration,
    },
}

impl Mode {
    /// Links that all agents of the server share; 0 in mode `per-agent`.
    pub const fn shared_links(self) -> u16 {
        match self {
            Self::Multiplexed { links } => links.get(),
            Self::PerAgent => 0,
            Self::Http { connections, .. } => connections.get(),
        }
    }
}

/// One OpAMP server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerParams {
    /// Its name in logs, metrics and placement: renaming a server moves its agents.
    pub name: String,
    /// Address of its OpAMP endpoint: `ws://` or `wss://`, in mode `http` `http://` or `https://`.
    pub url: Uri,
    /// How agents share connections.
    pub mode: Mode,
    /// Heartbeats and polls that it gets a second, at most; `None`: none at all (R9).
    pub liveness_budget: Option<NonZeroU32>,
    /// How it knows its agents; in mode `per-agent` by their connections, whatever this says.
    pub keyed_by: KeyedBy,
    /// Headers added to each dial or POST.
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// A PEM file of certificate authorities to trust instead of the system's. Read at each dial.
    pub ca_file: Option<PathBuf>,
    /// The proxy between it and this node.
    pub proxy: Option<ProxyParams>,
    /// This node's name, which each dial says. The gateway knows it.
    pub node: String,
}

/// Where the value of a header comes from. Values are marked sensitive, so that logs leave them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// The configuration, or the environment.
    Value(HeaderValue),
    /// A file, which is read at each dial; the white space around what it holds is left out.
    File(PathBuf),
}

impl HeaderSource {
    /// A value that stays out of logs.
    ///
    /// # Errors
    /// If a header cannot have it. The message leaves the value out, which may be a secret.
    pub fn value(text: &str) -> Result<HeaderValue, String> {
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| "the value holds characters that a header cannot have".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The value now. Blocks while a file is read.
    ///
    /// # Errors
    /// If the file is missing, too large for a header, or holds what a header cannot have.
    pub fn read(&self) -> Result<HeaderValue, String> {
        let path = match self {
            Self::Value(value) => return Ok(value.clone()),
            Self::File(path) => path,
        };
        let wrong = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let size = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
        if size > HEADER_BYTES_MAX {
            return Err(wrong(&format!("is larger than {HEADER_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        Self::value(text.trim()).map_err(|why| wrong(&why))
    }

    /// Whether [`Self::read`] reads a file.
    pub const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// Largest file that a header's value is read from. Servers refuse longer heads.
const HEADER_BYTES_MAX: u64 = 32 << 10;

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyParams {
    /// A DNS name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it is shown.
    pub authorization: Option<ProxyAuthorization>,
}

/// The value of `Proxy-Authorization`. It stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAuthorization(pub String);

impl fmt::Debug for ProxyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyAuthorization(..)")
    }
}

impl fmt::Display for ProxyParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl ServerParams {
    /// A server of which nothing but the address is configured: all agents share a few links.
    pub fn at(url: Uri) -> Self {
        Self {
            name: url.authority().map(ToString::to_string).unwrap_or_default(),
            url,
            mode: Mode::Multiplexed { links: LINKS_DEFAULT },
            liveness_budget: Some(LIVENESS_BUDGET_DEFAULT),
            keyed_by: KeyedBy::default(),
            headers: Vec::new(),
            ca_file: None,
            proxy: None,
            node: String::new(),
        }
    }

    /// The host of its address: a DNS name, or an address without brackets.
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The port of its address, or that of the scheme.
    pub fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Whether it is spoken to over TLS.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.url.scheme_str(), Some("wss" | "https"))
    }
}

/// Links that all agents share, if their number is left open.
pub const LINKS_DEFAULT: NonZeroU16 = NonZeroU16::new(4).expect("not zero");

/// As many as 30,000 agents say each 30 s, if the number is left open.
pub const LIVENESS_BUDGET_DEFAULT: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

/// What holds for all servers.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamParams {
    /// The servers; an agent goes to one of them by rendezvous hashing.
    pub servers: Vec<ServerParams>,
    /// How long a dial may take, TLS and upgrade included.
    pub dial_timeout: Duration,
    /// Dials in progress at one time for one server in `per-agent` mode.
    pub dials_max: NonZeroU16,
    /// First wait after a failed dial or a lost link; grows by half each time, with jitter.
    pub backoff_initial: Duration,
    /// Longest wait between dials, unless the server's `Retry-After` names a longer one.
    pub backoff_max: Duration,
    /// How long a link must hold before the next loss starts from the first wait again.
    pub stable_after: Duration,
    /// Bytes that may wait to be written on one link.
    pub queue_bytes_max: usize,
    /// Messages that may wait to be written on one link.
    pub queue_messages_max: usize,
    /// Messages a second that one server gets at most.
    pub pace_max: NonZeroU32,
    /// Messages a second that one server gets though it leaves the earlier ones unanswered. At most
    /// `pace_max`.
    pub pace_min: NonZeroU32,
    /// Messages that one server may have received and still owe an answer to, `pace_min` apart.
    pub in_flight_max: NonZeroU32,
    /// How long a server may be away before its agents move to the next one.
    pub failover_after: Duration,
    /// Largest message accepted from a server, in bytes.
    pub message_bytes_max: usize,
    /// Silence on a link after which it is pinged. In mode `http` a request may take this long and
    /// `ping_timeout` besides.
    pub ping_interval: Duration,
    /// Silence after that ping which makes the link dead.
    pub ping_timeout: Duration,
}

impl UpstreamParams {
    /// How dials follow each other.
    pub fn backoff_rule(&self) -> backoff::Rule {
        backoff::Rule {
            initial: self.backoff_initial,
            max: self.backoff_max,
            stable_after: self.stable_after,
        }
    }
}

impl Default for UpstreamParams {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            dial_timeout: Duration::from_secs(10),
            dials_max: NonZeroU16::new(64).expect("not zero"),
            backoff_initial: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            queue_bytes_max: 16 << 20,
            queue_messages_max: 65_536,
            pace_max: NonZeroU32::new(100_000).expect("not zero"),
            pace_min: NonZeroU32::new(10).expect("not zero"),
            in_flight_max: NonZeroU32::new(4_096).expect("not zero"),
            failover_after: Duration::from_secs(30),
            message_bytes_max: 64 << 20,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
        }
    }
}
