//! Which HTTP proxy is in front of a server: that of the configuration, or that of the environment, as other programs
//! read it (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). Must not know how a proxy is spoken to.

use std::net::IpAddr;

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;

use super::address::host_and_port;
use super::section::Section;
use crate::upstream::params::{ProxyAuthorization, ProxyParams, ServerParams};

/// The port of a proxy whose address names none, as for every `http://`.
const PORT_DEFAULT: u16 = 80;

/// What `proxy` says, in `[upstream]` or for one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum ProxyChoice {
    /// Nothing: what is around decides.
    #[default]
    Open,
    /// Servers are dialled without one, whatever the environment says.
    Direct,
    /// This one.
    By(ProxyParams),
}

/// Reads `proxy`.
pub(super) fn choice(section: &mut Section<'_>) -> ProxyChoice {
    let read = |text: &str| match text {
        "" => Ok(ProxyChoice::Open),
        "none" => Ok(ProxyChoice::Direct),
        address => proxy(address).map(ProxyChoice::By),
    };
    section.text("proxy", read).unwrap_or_default()
}

/// The proxies of the environment.
pub(super) struct ProxyVariables<'a> {
    variables: &'a [(String, String)],
}

impl<'a> ProxyVariables<'a> {
    pub(super) const fn new(variables: &'a [(String, String)]) -> Self {
        Self { variables }
    }

    /// Its value, by the name in upper or lower case, unless it is empty.
    fn find(&self, name: &str) -> Option<(&'a str, &'a str)> {
        let lower = name.to_ascii_lowercase();
        let named = |name: &str| {
            let mut set = self.variables.iter().filter(|(_, value)| !value.trim().is_empty());
            set.find(|(found, _)| found == name)
        };
        let (name, value) = named(name).or_else(|| named(&lower))?;
        Some((name.as_str(), value.trim()))
    }

    /// The proxy in front of a server.
    ///
    /// # Errors
    /// If its variable holds something else than a proxy's address.
    pub(super) fn proxy_for(&self, server: &ServerParams) -> Result<Option<ProxyParams>, String> {
        let name = if server.is_encrypted() { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        let Some((name, value)) = self.find(name) else { return Ok(None) };
        let (host, port) = (server.host(), server.port());
        let exempt = self.find("NO_PROXY").is_some_and(|(_, list)| names(list, host, port));
        if is_here(host) || exempt {
            return Ok(None);
        }
        proxy(value).map(Some).map_err(|why| {
            format!("the environment variable {name} {why}; proxy = \"none\" has it left out")
        })
    }
}

/// Chooses the proxy of one server.
pub(super) fn resolve(
    own: ProxyChoice,
    all: &ProxyChoice,
    variables: &ProxyVariables<'_>,
    server: &ServerParams,
) -> Result<Option<ProxyParams>, String> {
    match (own, all) {
        (ProxyChoice::By(proxy), _) => Ok(Some(proxy)),
        (ProxyChoice::Open, ProxyChoice::By(proxy)) => Ok(Some(proxy.clone())),
        (ProxyChoice::Direct, _) | (ProxyChoice::Open, ProxyChoice::Direct) => Ok(None),
        (ProxyChoice::Open, ProxyChoice::Open) => variables.proxy_for(server),
    }
}

/// A proxy's address: `http://user:password@host:port`; scheme, user and port may be missing. Messages leave it out,
/// because a password may stand in it.
fn proxy(text: &str) -> Result<ProxyParams, String> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => {
            return Err("must begin with http://: other kinds of proxy are not known".to_owned());
        }
    };
    let (user, authority) = match rest.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, rest),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = host_and_port(authority)
        .map_err(|why| format!("is not a proxy such as \"http://proxy:3128\": it {why}"))?;
    let authorization = user.map(|user| {
        // A user without a password has an empty one (RFC 7617, section 2).
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let mut pair: Vec<u8> = percent_decode_str(user).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(password));
        ProxyAuthorization(format!("Basic {}", BASE64.encode(&pair)))
    });
    Ok(ProxyParams { host: host.to_owned(), port: port.unwrap_or(PORT_DEFAULT), authorization })
}

/// Whether a host is this machine, which no proxy of the environment is asked for.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a list such as `NO_PROXY` names a host: by its name or that of a domain around it, by its address or a
/// network around it, with its port or without one, or by `*`.
fn names(list: &str, host: &str, port: u16) -> bool {
    let ip: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return ip.is_some_and(|ip| is_within(ip, network, bits));
        }
        if let Ok(other) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
            return ip.is_some_and(|ip| ip.to_canonical() == other.to_canonical());
        }
        let (name, only) = host_and_port(entry.trim_start_matches(['*', '.'])).unwrap_or_default();
        only.is_none_or(|only| only == port) && is_at(host, name)
    })
}

/// Whether a host has this name, or is within this domain.
fn is_at(host: &str, name: &str) -> bool {
    let Some(at) = host.len().checked_sub(name.len()) else { return false };
    let same = host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(name));
    !name.is_empty() && same && (at == 0 || host[..at].ends_with('.'))
}

fn is_within(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (ip.to_canonical(), network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let apart = u32::from(ip) ^ u32::from(network);
            bits <= 32 && apart.leading_zeros() >= bits
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let apart = u128::from(ip) ^ u128::from(network);
            bits <= 128 && apart.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &'static str) -> ServerParams {
        ServerParams::at(http::Uri::from_static(url))
    }

    fn of(variables: &[(&str, &str)], url: &'static str) -> Option<String> {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let proxy = ProxyVariables::new(&variables).proxy_for(&at(url)).unwrap();
        proxy.map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_environment_names_proxies_by_scheme() {
        let both = [("HTTP_PROXY", "http://plain:1"), ("https_proxy", "secure:2")];
        assert_eq!(of(&both, "ws://h").as_deref(), Some("plain:1"));
        assert_eq!(of(&both, "http://h").as_deref(), Some("plain:1"));
        assert_eq!(of(&both, "wss://h").as_deref(), Some("secure:2"));
        assert_eq!(of(&both, "https://h").as_deref(), Some("secure:2"));
        assert_eq!(
            of(&[("HTTP_PROXY", ""), ("http_proxy", "p")], "ws://h").as_deref(),
            Some("p:80")
        );
        for here in ["ws://localhost", "ws://127.0.0.9:1", "ws://[::1]:1"] {
            assert_eq!(of(&both, here), None, "{here}");
        }
    }

    #[test]
    fn no_proxy_names_exceptions() {
        for (list, url, exempt) in [
            ("*", "ws://h", true),
            ("h", "ws://h", true),
            ("H", "ws://h", true),
            ("a, h", "ws://h", true),
            ("example", "ws://h.example", true),
            (".example", "ws://h.example", true),
            ("*.example", "ws://h.example", true),
            ("example", "ws://hexample", false),
            ("h.example", "ws://example", false),
            ("h:80", "ws://h", true),
            ("h:80", "ws://h:81", false),
            ("10.0.0.0/8", "ws://10.1.2.3", true),
            ("10.0.0.0/8", "ws://11.1.2.3", false),
            ("10.0.0.0/x", "ws://10.1.2.3", false),
            ("10.1.2.3", "ws://10.1.2.3:9", true),
            ("[fd00::1]", "ws://[fd00::1]:9", true),
            ("fd00::/8", "ws://[fd00::1]:9", true),
            ("0.0.0.0/0", "ws://[fd00::1]:9", false),
            ("", "ws://h", false),
        ] {
            let found = of(&[("HTTP_PROXY", "p:1"), ("no_proxy", list)], url);
            assert_eq!(found.is_none(), exempt, "{list} {url}");
        }
    }

    #[test]
    fn a_proxys_address_is_read_and_its_mistakes_show_no_password() {
        let with_user = proxy("HTTP://us%65r:p%40ss:word@[fd00::1]:3128/").unwrap();
        assert_eq!(with_user.to_string(), "[fd00::1]:3128");
        let shown = BASE64.encode(b"user:p@ss:word");
        assert_eq!(with_user.authorization, Some(ProxyAuthorization(format!("Basic {shown}"))));
        assert!(!format!("{with_user:?}").contains(&shown));
        for text in ["socks5://u:hush@p", "http://u:hush@", "http://u:hush@p:99999", "u:hush@p/x"] {
            let told = proxy(text).unwrap_err();
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn the_nearest_choice_wins() {
        let variables = [("HTTP_PROXY".to_owned(), "around:1".to_owned())];
        let variables = ProxyVariables::new(&variables);
        let by = |host: &str| ProxyChoice::By(proxy(host).unwrap());
        for (own, all, expected) in [
            (ProxyChoice::Open, ProxyChoice::Open, Some("around:1")),
            (ProxyChoice::Open, ProxyChoice::Direct, None),
            (ProxyChoice::Direct, by("all:1"), None),
            (ProxyChoice::Open, by("all:1"), Some("all:1")),
            (by("own:1"), by("all:1"), Some("own:1")),
            (by("own:1"), ProxyChoice::Direct, Some("own:1")),
        ] {
            let chosen = resolve(own, &all, &variables, &at("ws://h")).unwrap();
            assert_eq!(chosen.map(|proxy| proxy.to_string()).as_deref(), expected);
        }
        let wrong = [("HTTP_PROXY".to_owned(), "socks5://p".to_owned())];
        let told = ProxyVariables::new(&wrong).proxy_for(&at("ws://h")).unwrap_err();
        assert!(told.contains("HTTP_PROXY"), "{told}");
    }
}
