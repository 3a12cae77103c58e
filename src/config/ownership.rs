//! `[ownership]` and its Redis: which store the nodes share. Must not know how it is dialled.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::Section;
use crate::core::ownership::NodeName;
use crate::ownership::params::{OwnershipParams, SharedStore};
use crate::ownership::redis::{RedisAddress, RedisMode, RedisParams, RedisPassword, RedisTls};
use crate::tls::{ClientFiles, ClientIdentity};

/// A shorter lease would be lost to a pause of the machine; with a longer one agents wait for minutes.
const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// How long a node may go on by itself.
const AUTONOMY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// More addresses than this are a mistake; each may be tried for each call.
const ADDRESSES_MAX: usize = 64;
const PREFIX_DEFAULT: &str = "seawall:";
const PREFIX_BYTES_MAX: usize = 100;
/// Files with a user or a password are small.
const SECRET_BYTES_MAX: u64 = 4096;

/// The keys of `[ownership.redis]`.
const KEYS: [&str; 12] = [
    "mode",
    "addresses",
    "master",
    "prefix",
    "database",
    "user",
    "user_file",
    "password",
    "password_file",
    "tls",
    "ca_file",
    "certificate_file",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreKind {
    Memory,
    Redis,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ModeKind {
    Single,
    Sentinel,
    Cluster,
}

/// `[ownership]`.
pub(super) fn ownership(mut section: Section<'_>) -> OwnershipParams {
    let mut params = OwnershipParams::default();
    let stores = [("memory", StoreKind::Memory), ("redis", StoreKind::Redis)];
    let kind = section.choice("store", &stores).unwrap_or(StoreKind::Memory);
    params.node = section.text("node", optional(node)).flatten();
    let advertises = section.has("advertise");
    params.advertise = section.text("advertise", optional(advertise)).flatten();
    params.listen = section.text("listen", optional(listen)).flatten();
    let keeps = [("hold", false), ("speak", true)];
    super::params::set!(params, section, lease: duration(LEASE), autonomy: duration(AUTONOMY));
    if let Some(speaks) = section.choice("lone", &keeps) {
        params.lone_speaks = speaks;
    }
    if let Some(by_itself) = section.choice("rebalance", &[("off", false), ("on", true)]) {
        params.rebalance.by_itself = by_itself;
    }
    if let Some(rate) = section.number("rebalance_rate", 0..=1_000_000) {
        params.rebalance.rate = NonZeroU32::new(rate);
    }
    let sound = section.are_sound(&["store"]);
    if let Some(redis) = redis(section.section("redis"), (kind, sound)) {
        params.store = SharedStore::Redis(Box::new(redis));
        if params.advertise.is_none() && !advertises {
            section.report_missing("advertise", "is missing: where other nodes dial this one");
        }
    } else if kind == StoreKind::Memory
        && params.advertise.is_some()
        && section.are_sound(&["store"])
    {
        let why = "has no meaning for store \"memory\": a node with others needs store = \"redis\"";
        section.report("advertise", why);
    }
    params
}

/// An empty text stands for the default.
fn optional<T>(
    read: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Option<T>, String> {
    move |text| if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

fn node(text: &str) -> Result<NodeName, String> {
    NodeName::try_new(text).map_err(|error| error.to_string())
}

fn advertise(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: &str| format!("\"{text}\" {why}");
    let address: SocketAddr =
        text.parse().map_err(|_| wrong("is not an address and port such as \"10.0.0.7:4319\""))?;
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(wrong("cannot be dialled by other nodes"));
    }
    Ok(address)
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("\"{text}\" is not an address and port such as \"0.0.0.0:4319\""))
}

/// `[ownership.redis]`; `None` if it is not wanted, or wrong. `sound`: the store was named by a known word, or not at all.
fn redis(mut section: Section<'_>, (kind, sound): (StoreKind, bool)) -> Option<RedisParams> {
    if kind == StoreKind::Memory && sound {
        for key in KEYS.into_iter().filter(|key| section.has(key)) {
            section.report(key, "has no meaning for store \"memory\"");
        }
    }
    let mode = mode(&mut section);
    let addresses = section.list("addresses", address);
    let prefix = section.text("prefix", prefix).unwrap_or_else(|| PREFIX_DEFAULT.to_owned());
    let database = section.number("database", 0..=65_535_u32).unwrap_or(0);
    let user = secret(&mut section, "user", "user_file");
    let password = secret(&mut section, "password", "password_file").map(RedisPassword);
    let tls = tls(&mut section);
    if kind == StoreKind::Memory {
        return None;
    }
    let addresses = match addresses {
        None => {
            let message = "is missing: where Redis is, such as [\"10.0.0.9:6379\"]";
            section.report_missing("addresses", message);
            return None;
        }
        Some(addresses) if addresses.is_empty() || addresses.len() > ADDRESSES_MAX => {
            section.report("addresses", format!("must name 1 to {ADDRESSES_MAX} addresses"));
            return None;
        }
        Some(addresses) => addresses,
    };
    if database != 0 && mode == RedisMode::Cluster {
        section.report("database", "must be 0: a cluster has no other");
    }
    if user.is_some() && password.is_none() && section.are_sound(&["password", "password_file"]) {
        section.report("user", "needs a password or password_file");
    }
    Some(RedisParams { mode, addresses, prefix, database, user, password, tls })
}

fn mode(section: &mut Section<'_>) -> RedisMode {
    let modes = [
        ("single", ModeKind::Single),
        ("sentinel", ModeKind::Sentinel),
        ("cluster", ModeKind::Cluster),
    ];
    let mode = section.choice("mode", &modes).unwrap_or(ModeKind::Single);
    let given = section.has("master");
    let master = section.text("master", |text| match text {
        "" => Err("is empty".to_owned()),
        _ => Ok(text.to_owned()),
    });
    match mode {
        ModeKind::Sentinel => {
            if !given {
                let message = "is missing: the name under which the Sentinels know it";
                section.report_missing("master", message);
            }
            return RedisMode::Sentinel { master: master.unwrap_or_default() };
        }
        _ if given && section.are_sound(&["mode"]) => {
            section.report("master", "has no meaning but in mode \"sentinel\"")
        }
        _ => {}
    }
    if mode == ModeKind::Cluster { RedisMode::Cluster } else { RedisMode::Single }
}

fn address(text: &str) -> Result<RedisAddress, String> {
    RedisAddress::parse(text)
        .ok_or_else(|| format!("\"{text}\" is not a host and port such as \"redis:6379\""))
}

/// Braces would choose another slot of a cluster for each key.
fn prefix(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
    if text.len() > PREFIX_BYTES_MAX || !text.chars().all(fits) {
        return Err(format!(
            "must be at most {PREFIX_BYTES_MAX} printable characters, none of them a space or a brace"
        ));
    }
    Ok(text.to_owned())
}

/// A text that is written here, or in a file: one of the two. Messages leave the text out.
fn secret(section: &mut Section<'_>, here: &str, in_file: &str) -> Option<String> {
    let both = section.has(here) && section.has(in_file);
    let own = section.text(here, |text| Ok(text.to_owned()));
    let from_file = section.text(in_file, |path| {
        let size = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?.len();
        if size > SECRET_BYTES_MAX {
            return Err(format!("{path} is larger than {SECRET_BYTES_MAX} bytes"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(text.trim().to_owned())
    });
    if both {
        section.report(in_file, format!("is given beside {here}: give one of them"));
    }
    own.or(from_file).filter(|text| !text.is_empty())
}

fn tls(section: &mut Section<'_>) -> Option<RedisTls> {
    let wanted = section.choice("tls", &[("off", false), ("on", true)]).unwrap_or(false);
    let ca_file = section.text("ca_file", file);
    let certificate_file = section.text("certificate_file", file);
    let key_file = section.text("key_file", file);
    let identity = match (certificate_file, key_file) {
        (Some(certificate_file), Some(key_file)) => {
            Some(ClientIdentity { certificate_file, key_file })
        }
        (None, None) => None,
        _ if !section.are_sound(&["certificate_file", "key_file"]) => None,
        _ => {
            section.report("key_file", "and certificate_file need each other");
            None
        }
    };
    let files = ClientFiles { ca_file, identity };
    if let Err(error) = files.check() {
        section.report("tls", error.to_string());
    }
    let ClientFiles { ca_file, identity } = files;
    if !wanted {
        if (ca_file.is_some() || identity.is_some()) && section.are_sound(&["tls"]) {
            section.report("tls", "is \"off\", and files for TLS are named");
        }
        return None;
    }
    Some(RedisTls { ca_file, identity })
}

fn file(text: &str) -> Result<PathBuf, String> {
    std::fs::metadata(text).map_err(|error| format!("{text}: {error}"))?;
    Ok(Path::new(text).to_owned())
}
