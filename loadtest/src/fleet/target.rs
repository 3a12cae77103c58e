//! Where agents dial, and from which address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use seawall::websocket::{ClientRequest, client_request, generate_key};
use serde::{Deserialize, Serialize};

/// The parts of requests that are the same for all agents of one kind.
#[derive(Debug)]
pub(crate) struct Requests {
    /// The upgrade request.
    pub(crate) upgrade: Vec<u8>,
    /// Its key.
    pub(crate) key: String,
    /// The head of a POST, up to the headers that are an agent's or a message's own.
    pub(crate) post: String,
}

/// A WebSocket URL whose host has been looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct DialTarget {
    url: String,
    authority: String,
    path: String,
    /// The address to connect to.
    pub(crate) address: SocketAddr,
}

impl FromStr for DialTarget {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| {
            format!("`{url}` is not a target; write for example ws://127.0.0.1:4320/v1/opamp")
        })?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "v1/opamp"));
        let address = authority
            .to_socket_addrs()
            .map_err(|error| format!("`{authority}` is not a host and port: {error}"))?
            .find(SocketAddr::is_ipv4)
            .ok_or_else(|| format!("`{authority}` has no IPv4 address"))?;
        Ok(Self {
            url: url.to_owned(),
            authority: authority.to_owned(),
            path: format!("/{path}"),
            address,
        })
    }
}

impl TryFrom<String> for DialTarget {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        url.parse()
    }
}

impl From<DialTarget> for String {
    fn from(target: DialTarget) -> Self {
        target.url
    }
}

impl DialTarget {
    /// What agents of one kind of client send to it.
    pub(crate) fn requests(&self, user_agent: Option<&'static str>) -> Requests {
        let key = generate_key();
        let mut upgrade = Vec::new();
        let named = user_agent.map(|name| (USER_AGENT, HeaderValue::from_static(name)));
        let headers: HeaderMap = named.into_iter().collect();
        let request = ClientRequest {
            authority: &self.authority,
            target: &self.path,
            headers: &headers,
            key: &key,
        };
        client_request(&request, &mut upgrade);
        let named = user_agent.map_or_else(String::new, |name| format!("User-Agent: {name}\r\n"));
        let post = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{named}Content-Type: application/x-protobuf\r\n",
            self.path, self.authority
        );
        Requests { upgrade, key, post }
    }

    /// As it was written.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// An address of its own for each agent, from 127.1.0.0 on, so that more of them fit than one
    /// address has ports. Only this machine's own addresses can be chosen from.
    pub(crate) fn source(&self, index: u32) -> Option<SocketAddr> {
        let base = u32::from(Ipv4Addr::new(127, 1, 0, 0));
        let address = Ipv4Addr::from(base.checked_add(index)?);
        (self.address.ip().is_loopback() && address.octets()[0] == 127 && index < 0x00fe_0000)
            .then_some(SocketAddr::new(IpAddr::V4(address), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_checked() {
        let target: DialTarget = "ws://127.0.0.1:4320/v1/opamp".parse().unwrap();
        assert_eq!(target.address.port(), 4320);
        assert_eq!(target.source(0).unwrap().to_string(), "127.1.0.0:0");
        assert_eq!(target.source(257).unwrap().to_string(), "127.1.1.1:0");
        let requests = target.requests(Some("a/1"));
        let text = String::from_utf8(requests.upgrade).unwrap();
        assert!(text.starts_with("GET /v1/opamp HTTP/1.1\r\n") && text.contains(&requests.key));
        assert!(requests.post.starts_with("POST /v1/opamp HTTP/1.1\r\n"), "{}", requests.post);
        assert!(text.to_lowercase().contains("user-agent: a/1"), "{text}");
        let nameless = target.requests(None);
        let nameless = String::from_utf8(nameless.upgrade).unwrap() + &nameless.post;
        assert!(!nameless.to_lowercase().contains("user-agent"), "{nameless}");
        for wrong in ["http://127.0.0.1:1/", "ws://127.0.0.1", "nonsense"] {
            assert!(wrong.parse::<DialTarget>().is_err(), "{wrong}");
        }
    }
}
