//! Where the Redis is, and how it lets us in.

use std::fmt;
use std::path::PathBuf;

use crate::connect;
use crate::tls::ClientIdentity;

/// How the addresses lead to the Redis that takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisMode {
    /// The addresses are Redis servers, tried in turn: usually one, or one that moves by its name.
    Single,
    /// The addresses are Sentinels, which know the address of this master.
    Sentinel {
        /// The master's name at the Sentinels.
        master: String,
    },
    /// The addresses are nodes of a cluster, which name the node that holds our slot.
    Cluster,
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// A DNS name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl RedisAddress {
    /// Reads `host:port`; an IPv6 address may stand in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = host.trim_matches(['[', ']']);
        connect::is_host(host).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A password. It stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisPassword(pub String);

impl fmt::Debug for RedisPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisPassword(..)")
    }
}

/// TLS towards Redis, and towards Sentinels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisTls {
    /// The authorities to trust; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// What to show if Redis asks.
    pub identity: Option<ClientIdentity>,
}

/// `[ownership.redis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisParams {
    /// How the addresses lead to the master.
    pub mode: RedisMode,
    /// At least one.
    pub addresses: Vec<RedisAddress>,
    /// What all keys begin with. It is free of braces, which would choose another slot.
    pub prefix: String,
    /// The database, 0 for a cluster.
    pub database: u32,
    /// The user of Redis' access control lists; `None`: its default user.
    pub user: Option<String>,
    /// The user's password. Sentinels are asked without one.
    pub password: Option<RedisPassword>,
    /// Whether to speak TLS.
    pub tls: Option<RedisTls>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_out_as_they_went_in() {
        for text in ["redis:6379", "10.0.0.1:1", "[::1]:6379", "a_b-c.example:65535"] {
            assert_eq!(RedisAddress::parse(text).unwrap().to_string(), text);
        }
        // As a cluster writes it.
        assert_eq!(RedisAddress::parse("::1:6379").unwrap().to_string(), "[::1]:6379");
        for text in ["redis", "redis:0", "redis:70000", ":6379", "a b:1", "redis://x:1", "?:1"] {
            assert_eq!(RedisAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_password_stays_out_of_logs() {
        assert_eq!(format!("{:?}", RedisPassword("hush".to_owned())), "RedisPassword(..)");
    }
}
