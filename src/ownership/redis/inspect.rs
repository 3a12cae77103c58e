//! What the Redis at hand promises, and what it does not: for an operator, before the nodes depend on it. It
//! asks and writes nothing.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use redis::Value;
use tokio::time::timeout;

use super::RedisStore;
use super::connection::Connection;
use super::params::{RedisMode, RedisParams};
use crate::ownership::store::StoreError;

/// Sections of INFO that tell of promises.
const SECTIONS: [&str; 4] = ["server", "memory", "persistence", "replication"];
/// Settings that INFO leaves out.
const SETTINGS: [&str; 2] = ["min-replicas-to-write", "appendfsync"];

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It holds.
    Kept(String),
    /// It does not hold, and may cost what the text says.
    Warning(String),
    /// With this no node becomes a member.
    Fault(String),
    /// It could not be seen.
    Unseen(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(text) => f.write_str(text),
            Self::Warning(text) => write!(f, "WARNING: {text}"),
            Self::Fault(text) => write!(f, "FAULT: {text}"),
            Self::Unseen(text) => write!(f, "could not be seen: {text}"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Where it was found.
    pub address: String,
    /// In the order of their weight.
    pub findings: Vec<Finding>,
}

/// What Redis says of itself: fields of INFO, settings.
#[derive(Default)]
struct Facts(HashMap<String, String>);

impl Facts {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Fields of a section of INFO, a line each.
    fn learn_info(&mut self, text: &str) {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        self.0.extend(fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

impl RedisStore {
    /// Asks the Redis that holds our keys what it promises.
    ///
    /// # Errors
    /// If no such Redis answers in time.
    pub async fn inspect(&self, within: Duration) -> Result<Inspection, StoreError> {
        let (connection, missing) = self.ask(&self.keys.rights(), within).await?;
        let silent = |_| StoreError::Unknown(format!("{} is silent", connection.address));
        let facts = timeout(within, facts(&connection)).await.map_err(silent)?;
        let address = connection.address.to_string();
        let mut findings: Vec<Finding> = rights(&missing).into_iter().collect();
        findings.extend(judge(&facts));
        Ok(Inspection { address, findings })
    }
}

/// What a user without the right to ask would be told stays unknown.
async fn facts(connection: &Connection) -> Facts {
    let mut facts = Facts::default();
    for section in SECTIONS {
        if let Ok(Value::BulkString(text)) = connection.ask(redis::cmd("INFO").arg(section)).await {
            facts.learn_info(&String::from_utf8_lossy(&text));
        }
    }
    for setting in SETTINGS {
        let answer = connection.ask(redis::cmd("CONFIG").arg("GET").arg(setting)).await;
        if let Ok(Value::Array(pair)) = answer
            && let [Value::BulkString(_), Value::BulkString(value)] = pair.as_slice()
        {
            let value = String::from_utf8_lossy(value).into_owned();
            facts.0.insert(setting.to_owned(), value);
        }
    }
    facts
}

/// The commands that the user may not use.
fn rights(missing: &Value) -> Option<Finding> {
    let Value::Array(missing) = missing else { return None };
    let names: Vec<String> = missing
        .iter()
        .filter_map(|name| match name {
            Value::BulkString(name) => Some(String::from_utf8_lossy(name).into_owned()),
            _ => None,
        })
        .collect();
    let fault = || {
        let names = names.join(", ");
        Finding::Fault(format!(
            "the user may not use {names} on these keys; it needs +eval +info +@hash and the keys of ownership.redis.prefix"
        ))
    };
    (!names.is_empty()).then(fault)
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![replicas(facts), persistence(facts), eviction(facts)];
    let name = if facts.text("server_name") == Some("valkey") { "valkey" } else { "redis" };
    let version = facts.text(&format!("{name}_version"));
    findings.extend(version.map(|version| Finding::Kept(format!("{name} {version}"))));
    findings
}

fn replicas(facts: &Facts) -> Finding {
    let Some(count) = facts.number("connected_slaves") else {
        return Finding::Unseen("replicas (INFO is not allowed)".to_owned());
    };
    let least = facts.number("min-replicas-to-write");
    // INFO names the good ones only if some are asked for.
    let good = facts.number("min_slaves_good_slaves");
    if good.is_some_and(|good| good < least.unwrap_or(1)) {
        let least = least.map_or_else(|| "1 or more".to_owned(), |least| least.to_string());
        let good = good.unwrap_or_default();
        return Finding::Fault(format!(
            "it refuses every write: min-replicas-to-write is {least}, and {good} replicas follow it; add a replica, or set \
             min-replicas-to-write to 0"
        ));
    }
    match (count, least) {
        (0, _) => Finding::Warning(
            "no replica: while this Redis is away, nodes go on as long as all of them are there; \
             the agents of a node that dies meanwhile have no home until it is back"
                .to_owned(),
        ),
        (_, None) => {
            Finding::Unseen("min-replicas-to-write (CONFIG GET is not allowed)".to_owned())
        }
        (_, Some(0)) => Finding::Warning(
            "min-replicas-to-write is 0: a master that was cut off from its replicas goes on taking \
             writes beside the promoted one, and two nodes may speak for one agent; set it to 1"
                .to_owned(),
        ),
        (count, Some(least)) => Finding::Kept(format!(
            "{count} replicas; writes need {least} of them (min-replicas-to-write)"
        )),
    }
}

fn persistence(facts: &Facts) -> Finding {
    match (facts.number("aof_enabled"), facts.text("appendfsync")) {
        (None, _) => Finding::Unseen("persistence (INFO is not allowed)".to_owned()),
        (Some(0), _) => Finding::Warning(
            "appendonly is no: Redis restarts empty, or with an old dump; the nodes that live write \
             their shards again, and for one lease time each speaks only if all others confirm it"
                .to_owned(),
        ),
        (_, Some("no")) => Finding::Warning(
            "appendfsync is no: what was written last is lost with the machine".to_owned(),
        ),
        (_, fsync) => {
            let fsync = fsync.unwrap_or("unknown");
            Finding::Kept(format!("appendonly yes, appendfsync {fsync}"))
        }
    }
}

fn eviction(facts: &Facts) -> Finding {
    let (Some(policy), Some(limit)) = (facts.text("maxmemory_policy"), facts.number("maxmemory"))
    else {
        return Finding::Unseen("eviction (INFO is not allowed)".to_owned());
    };
    if limit == 0 && policy.starts_with("allkeys") {
        return Finding::Warning(format!(
            "maxmemory-policy {policy} may evict the leases or the map as soon as maxmemory is set, which is 0 now; use \
             noeviction"
        ));
    }
    if limit > 0 && policy.starts_with("allkeys") {
        return Finding::Warning(format!(
            "maxmemory-policy {policy} may evict the leases or the map, which counts as a Redis that \
             has lost its data; use noeviction, or volatile-*, which spares keys without a time to live"
        ));
    }
    if limit > 0 && policy == "noeviction" {
        return Finding::Kept(format!(
            "at {limit} bytes writes are refused (noeviction), as if Redis were away"
        ));
    }
    Finding::Kept(format!("maxmemory-policy {policy} spares the keys"))
}

impl RedisParams {
    /// What the addresses alone say, without asking a server.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let count = self.addresses.len();
        let few = match &self.mode {
            RedisMode::Single => None,
            RedisMode::Sentinel { .. } if count < 3 => Some(("Sentinels", 3)),
            RedisMode::Cluster if count < 2 => Some(("nodes of the cluster", 2)),
            RedisMode::Sentinel { .. } | RedisMode::Cluster => None,
        };
        if let Some((what, enough)) = few {
            findings.push(Finding::Warning(format!(
                "{count} address: name {enough} {what} at least, or the loss of one hides Redis"
            )));
        }
        let here = |host: &str| host == "localhost" || host.starts_with("127.") || host == "::1";
        if self.tls.is_none() && !self.addresses.iter().all(|address| here(&address.host)) {
            findings.push(Finding::Warning(
                "no TLS: the key of the digests and the password cross the network in the clear"
                    .to_owned(),
            ));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nconnected_slaves:2\r\naof_enabled:1\r\n\
                        maxmemory:0\r\nmaxmemory_policy:noeviction\r\n";

    fn findings(info: &str, settings: &[(&str, &str)]) -> Vec<Finding> {
        let mut facts = Facts::default();
        facts.learn_info(GOOD);
        facts.learn_info(info);
        for (name, value) in settings {
            facts.0.insert((*name).to_owned(), (*value).to_owned());
        }
        judge(&facts)
    }

    #[test]
    fn a_good_redis_gets_no_warning() {
        let found = findings("", &[("min-replicas-to-write", "1"), ("appendfsync", "everysec")]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "2 replicas; writes need 1 of them (min-replicas-to-write)",
                "appendonly yes, appendfsync everysec",
                "maxmemory-policy noeviction spares the keys",
                "redis 7.0.15",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_said_with_what_it_may_cost() {
        let strict = [("min-replicas-to-write", "1"), ("appendfsync", "always")];
        let lax = [("min-replicas-to-write", "0"), ("appendfsync", "no")];
        for (info, settings, place, text) in [
            ("connected_slaves:0\r\n", strict, 0, "no replica"),
            ("", lax, 0, "two nodes may speak for one agent"),
            ("aof_enabled:0\r\n", strict, 1, "appendonly is no"),
            ("", lax, 1, "appendfsync is no"),
            ("maxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n", strict, 2, "may evict the leases"),
            ("maxmemory_policy:allkeys-lru\r\n", strict, 2, "as soon as maxmemory is set"),
        ] {
            let found = &findings(info, &settings)[place];
            assert!(matches!(found, Finding::Warning(why) if why.contains(text)), "{found:?}");
        }
    }

    #[test]
    fn what_keeps_every_node_out_is_a_fault() {
        for (info, settings, text) in [
            ("min_slaves_good_slaves:0\r\n", &[][..], "is 1 or more, and 0 replicas"),
            (
                "min_slaves_good_slaves:1\r\n",
                &[("min-replicas-to-write", "2")],
                "is 2, and 1 replicas follow it",
            ),
        ] {
            let found = &findings(info, settings)[0];
            assert!(matches!(found, Finding::Fault(why) if why.contains(text)), "{found:?}");
        }
        let found = &findings("min_slaves_good_slaves:1\r\n", &[("min-replicas-to-write", "1")])[0];
        assert!(matches!(found, Finding::Kept(_)), "{found:?}");
        let missing = ["HSET", "HDEL"].map(|name| Value::BulkString(name.into())).to_vec();
        let found = rights(&Value::Array(missing));
        assert!(
            matches!(found, Some(Finding::Fault(why)) if why.contains("not use HSET, HDEL on"))
        );
        assert_eq!(rights(&Value::Array(Vec::new())), None);
    }

    #[test]
    fn what_a_user_may_not_ask_is_named() {
        let found = judge(&Facts::default());
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|finding| matches!(finding, Finding::Unseen(_))), "{found:?}");
        let found = &findings("", &[])[0];
        assert!(matches!(found, Finding::Unseen(what) if what.contains("CONFIG GET")), "{found:?}");
    }
}
