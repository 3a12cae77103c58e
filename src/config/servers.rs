//! `[upstream]` and its servers: addresses, modes and the headers that they want. Must not know how a
//! server is dialled.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};

use super::params::{ANY_TIME, MEMORY, MESSAGE, SOME_TIME, set};
use super::section::Section;
use crate::core::server::KeyedBy;
use crate::upstream::params::{Mode, ServerParams, UpstreamParams};

/// The path that the specification gives an OpAMP endpoint.
const PATH_DEFAULT: &str = "/v1/opamp";
const LINKS_DEFAULT: NonZeroU16 = NonZeroU16::new(4).expect("not zero");
const CONNECTIONS_DEFAULT: NonZeroU16 = NonZeroU16::new(32).expect("not zero");
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
const RESERVED: [&str; 7] = [
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
    let sections = section.sections("servers");
    if sections.is_empty() {
        section.report("servers", "no [[upstream.servers]]: name at least one server, by `url`");
        section.learn_entry("servers", |entry| drop(server(entry, variables)));
    } else if sections.len() > SERVERS_MAX {
        section.report("servers", format!("more than {SERVERS_MAX} servers"));
    }
    let mut names = HashSet::new();
    for mut section in sections {
        let server = server(&mut section, variables);
        let Some(server) = server else { continue };
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
    let headers = headers(section, variables);
    let ca_file = section.text("ca_file", authorities);
    let name = section.text("name", name);
    let given = section.has("url");
    let url = section.text("url", |text| address(text, mode));
    if !given {
        section.report("url", "is missing: the server's address, such as \"ws://10.0.0.5:4320\"");
    }
    let url = url?;
    if ca_file.is_some() && matches!(url.scheme_str(), Some("ws" | "http")) {
        let scheme = url.scheme_str().unwrap_or_default();
        section
            .report("ca_file", format!("has no meaning for {scheme}://, which is not encrypted"));
    }
    // The address is a good name: it stays the same when the list is reordered.
    let name = name.unwrap_or_else(|| url.authority().map(ToString::to_string).unwrap_or_default());
    Some(ServerParams { name, url, mode, keyed_by, headers, ca_file })
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
    for (key, given) in KEYS.into_iter().zip(given) {
        if given && !means.contains(&key) {
            section.report(key, format!("has no meaning in mode {why}"));
        }
    }
    mode
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

/// Reads a server's address and gives it the path of the specification if it has none.
fn address(text: &str, mode: Mode) -> Result<Uri, String> {
    let wrong = |why: &str| format!("\"{text}\" {why}");
    let uri: Uri = text.parse().map_err(|error| wrong(&format!("is not an address: {error}")))?;
    check_scheme(uri.scheme_str().unwrap_or_default(), mode).map_err(|why| wrong(&why))?;
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.host().is_empty() {
        return Err(wrong("names no host"));
    }
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password: use headers_from_env or headers_from_file"
            .to_owned());
    }
    if authority.port().is_some() && authority.port_u16().unwrap_or(0) == 0 {
        return Err(wrong("names no valid port"));
    }
    let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    if after_scheme.contains(['/', '?']) {
        return Ok(uri);
    }
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(PATH_DEFAULT));
    Uri::from_parts(parts).map_err(|error| wrong(&error.to_string()))
}

/// The mode and the scheme of the address both say how Seawall speaks to the server, and must agree.
fn check_scheme(scheme: &str, mode: Mode) -> Result<(), String> {
    let http = matches!(mode, Mode::Http { .. });
    match (scheme, http) {
        ("ws" | "wss", false) | ("http" | "https", true) => Ok(()),
        ("http", false) => {
            Err("must begin with ws://, not http://, but in mode \"http\"".to_owned())
        }
        ("https", false) => {
            Err("must begin with wss://, not https://, but in mode \"http\"".to_owned())
        }
        ("ws", true) => Err("must begin with http://, not ws://, in mode \"http\"".to_owned()),
        ("wss", true) => Err("must begin with https://, not wss://, in mode \"http\"".to_owned()),
        (_, false) => Err("must begin with ws:// or wss://".to_owned()),
        (_, true) => Err("must begin with http:// or https:// in mode \"http\"".to_owned()),
    }
}

/// Checks that a file of certificate authorities is there, so that the operator learns of a mistake before
/// the first dial.
pub(super) fn authorities(text: &str) -> Result<PathBuf, String> {
    let pem = std::fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(format!("{text} holds no PEM certificate"));
    }
    Ok(PathBuf::from(text))
}

/// The headers of the three tables: literal, from the environment, from files.
fn headers(
    section: &mut Section<'_>,
    variables: &[(String, String)],
) -> Vec<(HeaderName, HeaderValue)> {
    let from_env = |variable: &str| {
        let found = variables.iter().find(|(name, _)| name == variable);
        found.map(|(_, value)| value.clone()).ok_or_else(|| format!("{variable} is not set"))
    };
    let from_file = |path: &str| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(text.trim().to_owned())
    };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut read = |table: &str, value_of: &dyn Fn(&str) -> Result<String, String>| {
        for (key, text) in section.pairs(table) {
            let header = value_of(&text).and_then(|value| header(&key, &value));
            let header = header.and_then(|(name, value)| {
                let twice = headers.iter().any(|(other, _)| *other == name);
                if twice { Err("is given twice".to_owned()) } else { Ok((name, value)) }
            });
            match header {
                Ok(header) => headers.push(header),
                Err(message) => section.report(&format!("{table}.{key}"), message),
            }
        }
    };
    read("headers", &|text| Ok(text.to_owned()));
    read("headers_from_env", &from_env);
    read("headers_from_file", &from_file);
    headers
}

/// One header. A message about a wrong value leaves the value out, which may be a secret.
fn header(key: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(key).map_err(|_| "is not a header's name".to_owned())?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-") {
        return Err("is set by Seawall itself".to_owned());
    }
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| "the value holds characters that a header cannot have".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}
