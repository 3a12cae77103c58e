//! Addresses that are dialled: servers' and proxies'. Must not know who dials them.

use http::Uri;
use http::uri::PathAndQuery;

use crate::connect;
use crate::upstream::params::Mode;

/// The path that the specification gives an OpAMP endpoint.
const PATH_DEFAULT: &str = "/v1/opamp";
/// What ends an authority (RFC 3986, section 3.2).
const AUTHORITY_ENDS: [char; 3] = ['/', '?', '#'];

/// Reads a server's address and gives it the path of the specification if it has none.
pub(super) fn server(text: &str, mode: Mode) -> Result<Uri, String> {
    let wrong = |why: &str| format!("\"{text}\" {why}");
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(AUTHORITY_ENDS).next().unwrap_or_default();
    // Before anything that shows the text.
    if authority.contains('@') {
        return Err("must not hold a user or password: use headers_from_env or headers_from_file"
            .to_owned());
    }
    // Schemes know no case (RFC 3986, section 3.1).
    let scheme = scheme.to_ascii_lowercase();
    check_scheme(&scheme, mode).map_err(|why| wrong(&why))?;
    if rest.contains('#') {
        return Err(wrong("has a fragment (#), which no server is sent: leave it out"));
    }
    host_and_port(authority).map_err(|why| wrong(&why))?;
    let uri: Uri = format!("{scheme}://{rest}")
        .parse()
        .map_err(|error| wrong(&format!("is not an address: {error}")))?;
    if rest.contains(AUTHORITY_ENDS) {
        return Ok(uri);
    }
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(PATH_DEFAULT));
    Uri::from_parts(parts).map_err(|error| wrong(&error.to_string()))
}

/// Takes `host:port` apart. An IPv6 address stands in brackets, which are left out; the port may be missing.
pub(super) fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match authority.rfind([':', ']']) {
        Some(at) if authority[at..].starts_with(':') => {
            (&authority[..at], Some(&authority[at + 1..]))
        }
        _ => (authority, None),
    };
    let inner = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let is_host = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => connect::is_host(host) && !host.contains(':'),
    };
    if !is_host {
        return Err(format!("names no valid host: {host} is neither a DNS name nor an IP address"));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse() {
            Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(number)
            }
            _ => return Err(format!("names no valid port: {port} is not one of 1 to 65535")),
        },
    };
    Ok((inner.unwrap_or(host), port))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_is_read() {
        for (text, read) in [
            ("ws://h:4320", "ws://h:4320/v1/opamp"),
            ("WS://H:4320/v1/opamp", "ws://H:4320/v1/opamp"),
            ("wSs://h", "wss://h/v1/opamp"),
            ("ws://[::1]:4320", "ws://[::1]:4320/v1/opamp"),
            ("ws://h:4320/a/b?c=d&e=%20", "ws://h:4320/a/b?c=d&e=%20"),
            ("wss://h_underscore.example/", "wss://h_underscore.example/"),
            ("ws://10.0.0.1:65535", "ws://10.0.0.1:65535/v1/opamp"),
        ] {
            assert_eq!(server(text, Mode::PerAgent).unwrap().to_string(), read, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for (text, expected) in [
            ("ws://h:99999", "names no valid port: 99999 is not one of 1 to 65535"),
            ("ws://h:65536", "names no valid port"),
            ("ws://h:0", "names no valid port"),
            ("ws://h:", "names no valid port"),
            ("ws://h:+80", "names no valid port"),
            ("ws://[::1]:99999", "names no valid port"),
            ("ws://", "names no host"),
            ("ws://:80", "names no host"),
            ("ws://h/#frag", "has a fragment"),
            ("ws://h#frag", "has a fragment"),
            ("wss://256.256.256.256", "256.256.256.256 is neither a DNS name nor an IP address"),
            ("ws://[::zz]:1", "names no valid host"),
            ("ws://::1", "names no valid host"),
            ("ws://ümlaut.example", "names no valid host"),
            ("ws://h:4320/ space", "is not an address"),
            ("h:4320", "must begin with ws:// or wss://"),
        ] {
            let told = server(text, Mode::PerAgent).unwrap_err();
            assert!(told.contains(expected) && told.contains(text), "{text}: {told}");
        }
        let told = server("ws://u:hush@h", Mode::PerAgent).unwrap_err();
        assert!(told.contains("user or password") && !told.contains("hush"), "{told}");
    }
}
