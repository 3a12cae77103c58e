//! `[upstream]` and its servers: addresses, modes and the headers that they want. Must not know how a
//! server is dialled.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::address;
use super::params::{ANY_TIME, MEMORY, MESSAGE, SOME_TIME, set};
use super::proxy::{self, ProxyVariables};
use super::section::Section;
use super::tree::RawValue;
use crate::core::server::KeyedBy;
use crate::tls::ClientFiles;
use crate::upstream::params::{
    HeaderSource, LINKS_DEFAULT, LIVENESS_BUDGET_DEFAULT, Mode, ServerParams, UpstreamParams,
};

const CONNECTIONS_DEFAULT: NonZeroU16 = NonZeroU16::new(32).expect("not zero");
const HTTP_DEFAULT: Mode =
    Mode::Http { connections: CONNECTIONS_DEFAULT, poll_interval: POLL_INTERVAL_DEFAULT };
/// What the specification recommends ("Plain HTTP Transport").
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
/// Polls in a row more often than this are a mistake in the unit.
const POLL_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(24 * 3600);
/// More servers than this is a mistake; each brings a set of metrics with it.
const SERVERS_MAX: usize = 1024;
/// A faster pace than any server's, or more in flight, is a mistake in the zeros.
const PACE_MAX: u32 = 10_000_000;
/// Headers that belong to the handshake: another value than Seawall's would break it.
const RESERVED: [&str; 8] = [
    "accept-encoding",
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "content-type",
    "opamp-instance-uid",
];

/// `[upstream]`. `variables` is the environment, from which headers may take their values.
pub(super) fn upstream(mut section: Section<'_>, variables: &[(String, String)]) -> UpstreamParams {
    let mut params = UpstreamParams::default();
    set!(params, section,
        dial_timeout: duration(SOME_TIME),
        backoff_initial: duration(SOME_TIME),
        backoff_max: duration(SOME_TIME),
        stable_after: duration(ANY_TIME),
        queue_bytes_max: bytes(MEMORY),
        queue_messages_max: number(1..=1 << 30),
        failover_after: duration(ANY_TIME),
        message_bytes_max: bytes(MESSAGE),
        ping_interval: duration(SOME_TIME),
        ping_timeout: duration(SOME_TIME),
    );
    if let Some(count) = section.number("dials_max", 1..=u16::MAX).and_then(NonZeroU16::new) {
        params.dials_max = count;
    }
    for (key, value) in [
        ("pace_max", &mut params.pace_max),
        ("pace_min", &mut params.pace_min),
        ("in_flight_max", &mut params.in_flight_max),
    ] {
        if let Some(number) = section.number(key, 1..=PACE_MAX).and_then(NonZeroU32::new) {
            *value = number;
        }
    }
    let proxy = proxy::choice(&mut section);
    let sections = section.sections("servers");
    if sections.is_empty() {
        // A table of a name that is nearly right is the mistake, and the key unknown.
        if !section.has("server") {
            let message = "no [[upstream.servers]]: name at least one server, by `url`";
            section.report_missing("servers", message);
        }
        section.learn_entry("servers", |entry| {
            proxy::choice(entry);
            server(entry, variables);
        });
    } else if sections.len() > SERVERS_MAX {
        section.report("servers", format!("more than {SERVERS_MAX} servers"));
    }
    let around = ProxyVariables::new(variables);
    let mut names = HashSet::new();
    for mut section in sections {
        let own = proxy::choice(&mut section);
        let server = server(&mut section, variables);
        let Some(mut server) = server else { continue };
        match proxy::resolve(own, &proxy, &around, &server) {
            Ok(proxy) => server.proxy = proxy,
            Err(message) => section.report("proxy", message),
        }
        if !names.insert(server.name.clone()) {
            section.report("name", format!("\"{}\" is the name of another server", server.name));
        }
        params.servers.push(server);
    }
    params
}

fn server(section: &mut Section<'_>, variables: &[(String, String)]) -> Option<ServerParams> {
    let mode = mode(section);
    let keyed_by = keyed_by(section, mode);
    let liveness_budget = liveness_budget(section);
    let headers = headers(section, variables);
    let ca_file = section.text("ca_file", authorities);
    let name = section.text("name", name);
    let given = section.has("url");
    let sound = section.are_sound(&["mode"]);
    let url = section.text("url", |text| match address::server(text, mode) {
        // The mode that was meant may be the one that fits.
        Err(_) if !sound && address::server(text, HTTP_DEFAULT).is_ok() => {
            address::server(text, HTTP_DEFAULT)
        }
        url => url,
    });
    if !given {
        section.report_missing(
            "url",
            "is missing: the server's address, such as \"ws://10.0.0.5:4320\"",
        );
    }
    let url = url?;
    if ca_file.is_some() && matches!(url.scheme_str(), Some("ws" | "http")) {
        let scheme = url.scheme_str().unwrap_or_default();
        section
            .report("ca_file", format!("has no meaning for {scheme}://, which is not encrypted"));
    }
    // The address is a good name if none is given: it stays the same when the list is reordered.
    let own = ServerParams::at(url);
    let server = ServerParams { mode, liveness_budget, keyed_by, headers, ca_file, ..own };
    Some(match name {
        Some(name) => ServerParams { name, ..server },
        None => server,
    })
}

fn mode(section: &mut Section<'_>) -> Mode {
    const KEYS: [&str; 3] = ["links", "connections", "poll_interval"];
    let given = KEYS.map(|key| section.has(key));
    let links = section.number("links", 1..=1024).and_then(NonZeroU16::new);
    let connections = section.number("connections", 1..=1024).and_then(NonZeroU16::new);
    let poll_interval = section.duration("poll_interval", POLL_INTERVAL);
    let multiplexed = Mode::Multiplexed { links: links.unwrap_or(LINKS_DEFAULT) };
    let http = Mode::Http {
        connections: connections.unwrap_or(CONNECTIONS_DEFAULT),
        poll_interval: poll_interval.unwrap_or(POLL_INTERVAL_DEFAULT),
    };
    let choices = [("multiplexed", multiplexed), ("per-agent", Mode::PerAgent), ("http", http)];
    let mode = section.choice("mode", &choices).unwrap_or(multiplexed);
    let (means, why): (&[&str], _) = match mode {
        Mode::Multiplexed { .. } => (&["links"], "\"multiplexed\": it is for mode \"http\""),
        Mode::PerAgent => (&[], "\"per-agent\": each agent has its own connection"),
        Mode::Http { .. } => {
            (&["connections", "poll_interval"], "\"http\": it has `connections` instead")
        }
    };
    let sound = section.are_sound(&["mode"]);
    for (key, given) in KEYS.into_iter().zip(given) {
        if given && sound && !means.contains(&key) {
            section.report(key, format!("has no meaning in mode {why}"));
        }
    }
    mode
}

/// A number of messages a second, or the word for none.
fn liveness_budget(section: &mut Section<'_>) -> Option<NonZeroU32> {
    let given = section.parsed("liveness_budget", |value| {
        let number = match value {
            RawValue::Integer(number) => u32::try_from(*number).ok(),
            RawValue::Text(text) if text.trim() == "never" => return Ok(None),
            RawValue::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let fits = number.and_then(NonZeroU32::new).filter(|number| number.get() <= PACE_MAX);
        fits.map(Some).ok_or_else(|| {
            format!("must be 1 to {PACE_MAX} messages a second, or \"never\" for none at all")
        })
    });
    given.unwrap_or(Some(LIVENESS_BUDGET_DEFAULT))
}

/// In the modes `per-agent` and `http` there is one answer only.
fn keyed_by(section: &mut Section<'_>, mode: Mode) -> KeyedBy {
    let choices = [
        ("auto", KeyedBy::Auto),
        ("uid", KeyedBy::Uid),
        ("link", KeyedBy::Link),
        ("exclusive", KeyedBy::Exclusive),
    ];
    let chosen = section.choice("keyed_by", &choices);
    match (mode, chosen) {
        _ if !section.are_sound(&["mode"]) => {}
        (Mode::PerAgent, Some(KeyedBy::Uid | KeyedBy::Link)) => section.report(
            "keyed_by",
            "has no meaning in mode \"per-agent\": each agent has its own connection",
        ),
        (Mode::Http { .. }, Some(KeyedBy::Link | KeyedBy::Exclusive)) => section
            .report("keyed_by", "has no meaning in mode \"http\": connections stand for no agent"),
        _ => {}
    }
    chosen.unwrap_or_default()
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 100 || text.chars().any(char::is_control) {
        return Err("must be 1 to 100 characters, none of them a control character".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a file of certificate authorities, so that the operator learns of a mistake before the first dial.
fn authorities(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let files = ClientFiles { ca_file: Some(path.clone()), identity: None };
    files.check().map_err(|error| error.to_string())?;
    Ok(path)
}

/// The headers of the three tables: literal, from the environment, from files.
fn headers(
    section: &mut Section<'_>,
    variables: &[(String, String)],
) -> Vec<(HeaderName, HeaderSource)> {
    let from_env = |variable: &str| {
        let found = variables.iter().find(|(name, _)| name == variable);
        let value = found.ok_or_else(|| format!("{variable} is not set"))?;
        HeaderSource::value(&value.1).map(HeaderSource::Value)
    };
    let from_file = |path: &str| {
        let source = HeaderSource::File(PathBuf::from(path));
        // It is read again at each dial, and may be wrong then. Now the operator looks.
        source.read().map(|_| source)
    };
    let mut headers: Vec<(HeaderName, HeaderSource)> = Vec::new();
    let mut read = |table: &str, source_of: &dyn Fn(&str) -> Result<HeaderSource, String>| {
        for (key, text) in section.pairs(table) {
            let header = source_of(&text).and_then(|source| Ok((header_name(&key)?, source)));
            let header = header.and_then(|(name, source)| {
                let twice = headers.iter().any(|(other, _)| *other == name);
                if twice { Err("is given twice".to_owned()) } else { Ok((name, source)) }
            });
            match header {
                Ok(header) => headers.push(header),
                Err(message) => section.report(&format!("{table}.{key}"), message),
            }
        }
    };
    read("headers", &|text| HeaderSource::value(text).map(HeaderSource::Value));
    read("headers_from_env", &from_env);
    read("headers_from_file", &from_file);
    headers
}

fn header_name(key: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(key).map_err(|_| "is not a header's name".to_owned())?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-") {
        return Err("is set by Seawall itself".to_owned());
    }
    Ok(name)
}
