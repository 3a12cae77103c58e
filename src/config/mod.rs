//! From file and environment to validated parameters, every mistake reported at once.
//!
//! A key lives where its section reads it: to add one, read it in its section and show it in
//! `config/seawall.toml`; a test holds that file to the keys and their defaults. To rename one, add a line
//! to the table in `suggest`. Must not know tasks.

mod address;
mod admission;
mod clients;
mod environment;
mod liveness;
mod mistake;
mod ownership;
mod params;
mod proxy;
mod section;
mod servers;
mod suggest;
mod summary;
mod tree;
mod units;
mod written;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::admin::AdminParams;
use crate::core::drain::Terms;
use crate::edge::params::EdgeParams;
use crate::ownership::params::OwnershipParams;
use crate::sessions::params::SessionsParams;
use crate::telemetry::logging::LogParams;
use crate::upstream::params::{ServerParams, UpstreamParams};

pub use mistake::{Mistake, Mistakes, ValueOrigin};
pub use params::RuntimeParams;
pub use units::duration;
pub use written::WrittenKeys;

use section::{Findings, Section};

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Agents' side.
    pub edge: EdgeParams,
    /// The table of sessions.
    pub sessions: SessionsParams,
    /// Servers' side.
    pub upstream: UpstreamParams,
    /// The store that nodes share.
    pub ownership: OwnershipParams,
    /// How the node drains.
    pub drain: Terms,
    /// The administration listener.
    pub admin: AdminParams,
    /// Logging.
    pub log: LogParams,
    /// The runtime.
    pub runtime: RuntimeParams,
}

/// Environment variables as text; Seawall's own are always text.
pub fn variables() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Reads the configuration: the file, if one is named, with `variables` laid over it. Also what is written there, to be
/// compared with a later text.
///
/// # Errors
/// Every mistake; an unreadable file is one. The operator's fault; retrying does not help.
pub fn load(
    file: Option<&Path>,
    variables: &[(String, String)],
) -> Result<(Config, WrittenKeys), Mistakes> {
    let text = match file.map(std::fs::read_to_string).transpose() {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            let key = String::new();
            let message = format!("the file cannot be read: {error}");
            return Err(Mistakes(vec![Mistake { key, origin: ValueOrigin::None, message }]));
        }
    };
    Ok((parse(&text, variables)?, WrittenKeys::of(&text, variables)))
}

/// Reads the configuration from the text of a file.
///
/// # Errors
/// Every mistake. The operator's fault; retrying does not help.
pub fn parse(text: &str, variables: &[(String, String)]) -> Result<Config, Mistakes> {
    let (config, mistakes, _) = read(text, variables);
    if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
}

/// The configuration as far as it can be read, what is wrong with it, and every known key.
fn read(text: &str, variables: &[(String, String)]) -> (Config, Vec<Mistake>, BTreeSet<String>) {
    let findings = Findings::default();
    let mut tree = tree::parse(text, &mut findings.mistakes.borrow_mut());
    findings.is_torn.set(!findings.mistakes.borrow().is_empty());
    environment::overlay(variables, &mut tree, &mut findings.mistakes.borrow_mut());
    let mut root = Section::root(tree, &findings);
    let config = Config {
        edge: params::edge(root.section("edge"), admission::admission(root.section("admission"))),
        sessions: params::sessions(root.section("sessions")),
        upstream: servers::upstream(root.section("upstream"), variables),
        ownership: ownership::ownership(root.section("ownership")),
        drain: params::drain(root.section("drain")),
        admin: params::admin(root.section("admin")),
        log: params::log(root.section("log")),
        runtime: params::runtime(root.section("runtime")),
    };
    check_across(&config, &findings);
    drop(root);
    findings.report_unknown();
    let known = findings.known.take();
    let mut mistakes = findings.mistakes.take();
    mistakes.extend(environment::misspelt(variables, &known));
    mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
    (config, mistakes, known)
}

/// Checks that take the values of several sections.
fn check_across(config: &Config, findings: &Findings) {
    let Config { edge, sessions, upstream, admin, .. } = config;
    let report_of = |key: &str, with: &[&str], message: &str| {
        if findings.are_sound(&[key]) && findings.are_sound(with) {
            findings.report(key.to_owned(), ValueOrigin::None, message);
        }
    };
    if edge.message_bytes_max > edge.buffered_bytes_max {
        let key = "edge.buffered_bytes_max";
        let message = "is less than edge.message_bytes_max: the largest message could never arrive";
        report_of(key, &["edge.message_bytes_max"], message);
    }
    if sessions.outbox_bytes_max > sessions.outbox_total_bytes_max {
        let key = "sessions.outbox_total_bytes_max";
        let message = "is less than sessions.outbox_bytes_max, which is for one agent";
        report_of(key, &["sessions.outbox_bytes_max"], message);
    }
    if upstream.message_bytes_max > sessions.outbox_total_bytes_max {
        let key = "sessions.outbox_total_bytes_max";
        report_of(
            key,
            &["upstream.message_bytes_max"],
            "is less than upstream.message_bytes_max: the largest message could never be \
             passed on",
        );
    }
    if upstream.backoff_initial > upstream.backoff_max {
        let with = "upstream.backoff_initial";
        report_of("upstream.backoff_max", &[with], "is less than upstream.backoff_initial");
    }
    if upstream.pace_min > upstream.pace_max {
        report_of("upstream.pace_max", &["upstream.pace_min"], "is less than upstream.pace_min");
    }
    for (place, server) in upstream.servers.iter().enumerate() {
        let key = format!("upstream.servers[{place}].url");
        if edge.listen.iter().any(|listen| leads_to(server, *listen)) {
            let message = "is one of edge.listen: Seawall would dial itself";
            report_of(&key, &["upstream.servers", "edge.listen"], message);
        } else if leads_to(server, admin.listen) {
            let message = "is admin.listen: Seawall would dial itself";
            report_of(&key, &["upstream.servers", "admin.listen"], message);
        }
    }
    if admin.listen.port() != 0 && edge.listen.iter().any(|edge| meet(*edge, admin.listen)) {
        let message = "is one of edge.listen: agents must not see it";
        report_of("admin.listen", &["edge.listen"], message);
    }
}

/// Whether a server's address leads to this process, as far as the text tells: names of the machine may be anything's.
fn leads_to(server: &ServerParams, listen: SocketAddr) -> bool {
    let here: IpAddr = Ipv4Addr::LOCALHOST.into();
    let ip = match server.host() {
        host if host.eq_ignore_ascii_case("localhost") => here,
        host => match host.parse::<IpAddr>() {
            // It is dialled on this machine.
            Ok(ip) if ip.is_unspecified() => here,
            Ok(ip) => ip.to_canonical(),
            Err(_) => return false,
        },
    };
    // A socket on all addresses of IPv6 takes those of IPv4, too; one on those of IPv4 takes no others.
    let all = listen.ip().is_unspecified() && (listen.is_ipv6() || ip.is_ipv4());
    let same = listen.ip().to_canonical() == ip || (ip.is_loopback() && all);
    server.port() == listen.port() && same
}

/// Whether two listening sockets would share an address: one on all addresses takes those of a single one, too.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, with) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (ip == with || ip.is_unspecified() || with.is_unspecified())
}

#[cfg(test)]
mod follow_up_tests;
#[cfg(test)]
mod tests;
