//! Each section's keys, with the bounds of their values. Defaults are the parameters' own. Must not know
//! where a value was written.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use crate::admin::AdminParams;
use crate::core::drain::Terms;
use crate::core::session::CustomKind;
use crate::edge::params::{AdmissionSettings, EdgeParams, EndpointPaths};
use crate::opamp::digest::Volatile;
use crate::sessions::params::{CustomKinds, SessionsParams};
use crate::telemetry::logging::{LogFormat, LogParams};

/// What the runtime needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeParams {
    /// Threads that carry agents; `None`: one a core.
    pub worker_threads: Option<NonZeroUsize>,
}

/// Longest time that makes sense anywhere; keeps sums of times far from overflow.
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// A time that may be zero.
pub(super) const ANY_TIME: RangeInclusive<Duration> = Duration::ZERO..=YEAR;
/// A time longer than zero.
pub(super) const SOME_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=YEAR;
/// A message's size: an OpAMP header and a uid must fit; one allocation must hold it.
pub(super) const MESSAGE: RangeInclusive<usize> = 1024..=1 << 30;
/// Bytes held in memory.
pub(super) const MEMORY: RangeInclusive<usize> = 4096..=1 << 46;

/// `field <- section.read("field", bounds)` for fields whose key is their name.
macro_rules! set {
    ($params:ident, $section:ident, $( $field:ident: $read:ident($bounds:expr) ),+ $(,)?) => {
        $( if let Some(value) = $section.$read(stringify!($field), $bounds) {
            $params.$field = value;
        } )+
    };
}
pub(super) use set;

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an address and port such as \"0.0.0.0:4320\" or \"[::]:4320\"")
    })
}

/// `[edge]`; admission has a section of its own.
pub(super) fn edge(mut section: Section<'_>, admission: AdmissionSettings) -> EdgeParams {
    let mut params = EdgeParams { admission, ..EdgeParams::default() };
    if let Some(listen) = section.list("listen", address) {
        if listen.is_empty() {
            section.report("listen", "names no address");
        } else if listen.iter().collect::<HashSet<_>>().len() < listen.len() {
            section.report("listen", "names an address twice");
        }
        params.listen = listen;
    }
    if let Some(paths) = section.list("paths", endpoint_path) {
        let compared = EndpointPaths::new(&paths);
        if paths.is_empty() {
            section.report("paths", "names no path");
        } else if compared.as_slice().iter().collect::<HashSet<_>>().len() < paths.len() {
            section.report("paths", "names a path twice");
        }
        params.paths = compared;
    }
    if let Some(count) = section.number("listeners", 0..=1024) {
        params.listeners = Some(count).filter(|count| *count > 0);
    }
    if let Some(count) = section.number("connections_max", 0..=u32::MAX) {
        params.connections_max = Some(count).filter(|count| *count > 0);
    }
    if let Some(count) = section.number("agents_per_connection_max", 0..=u32::MAX) {
        params.agents_per_connection_max = Some(count).filter(|count| *count > 0);
    }
    if let Some(bytes) = section.bytes("memory_max", 0..=1 << 46) {
        params.memory_max = Some(bytes).filter(|bytes| *bytes > 0);
    }
    set!(params, section,
        backlog: number(1..=1 << 20),
        message_bytes_max: bytes(MESSAGE),
        head_bytes_max: bytes(1024..=1 << 20),
        head_timeout: duration(SOME_TIME),
        http_idle_timeout: duration(SOME_TIME),
        http_reply_wait: duration(ANY_TIME),
        buffered_bytes_max: bytes(MEMORY),
    );
    let keep_alive = &mut params.keep_alive;
    set!(keep_alive, section,
        message_timeout: duration(SOME_TIME),
        ping_interval: duration(SOME_TIME),
        ping_timeout: duration(SOME_TIME),
    );
    params
}

fn endpoint_path(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if text.starts_with('/') && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not a path such as \"/v1/opamp\""))
}

/// `[sessions]`.
pub(super) fn sessions(mut section: Section<'_>) -> SessionsParams {
    let mut params = SessionsParams::default();
    set!(params, section,
        sessions_max: number(1..=100_000_000),
        grace_period: duration(ANY_TIME),
        reply_wait: duration(ANY_TIME),
        heartbeat_forward_interval: duration(ANY_TIME),
        poll_timeout: duration(SOME_TIME),
        outbox_bytes_max: bytes(MEMORY),
        outbox_total_bytes_max: bytes(MEMORY),
        custom_messages_max: number(0..=1 << 20),
    );
    params.custom_kinds = custom_kinds(&mut section);
    let path = |text: &str| match Volatile::parse([text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(mistakes) => {
            Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
    };
    // Each path was checked on its own, so all together are right.
    if let Some(paths) = section.list("volatile", path)
        && let Ok(volatile) = Volatile::parse(paths)
    {
        params.volatile = volatile;
    }
    if let Some(bytes_max) = section.bytes("store_bytes_max", MEMORY) {
        params.store.bytes_max = bytes_max;
    }
    params
}

/// `[[sessions.custom_messages]]`.
fn custom_kinds(section: &mut Section<'_>) -> CustomKinds {
    let mut named: Vec<(String, CustomKind)> = Vec::new();
    let sections = section.sections("custom_messages");
    if sections.is_empty() {
        section.learn_entry("custom_messages", |entry| drop(custom_kind(entry)));
    } else if sections.len() > CustomKinds::MAX {
        let message = format!("more than {} capabilities", CustomKinds::MAX);
        section.report("custom_messages", message);
    }
    for mut section in sections {
        let Some((capability, kind)) = custom_kind(&mut section) else { continue };
        if named.iter().any(|(name, _)| *name == capability) {
            section.report("capability", format!("\"{capability}\" is named twice"));
        }
        named.push((capability, kind));
    }
    CustomKinds::with(named)
}

fn custom_kind(section: &mut Section<'_>) -> Option<(String, CustomKind)> {
    let given = section.has("capability");
    let capability = section.text("capability", |text| match text.len() {
        1..=256 => Ok(text.to_owned()),
        _ => Err("must be 1 to 256 bytes: the capability as agents write it".to_owned()),
    });
    if !given {
        section.report_missing("capability", "is missing: the capability as agents write it");
    }
    let kinds = [
        ("event", CustomKind::Event),
        ("latest", CustomKind::Latest),
        ("dedup", CustomKind::Dedup),
    ];
    let kind = section.choice("kind", &kinds).unwrap_or_default();
    Some((capability?, kind))
}

/// `[drain]`.
pub(super) fn drain(mut section: Section<'_>) -> Terms {
    let mut params = Terms::default();
    if let Some(rate) = section.number("rate", 0..=1_000_000) {
        params.rate = NonZeroU32::new(rate);
    }
    set!(params, section,
        notice: duration(ANY_TIME),
        time_max: duration(ANY_TIME),
    );
    params
}

/// `[admin]`.
pub(super) fn admin(mut section: Section<'_>) -> AdminParams {
    let mut params = AdminParams::default();
    set!(params, section, listen: text(address));
    params
}

/// `[log]`.
pub(super) fn log(mut section: Section<'_>) -> LogParams {
    let mut params = LogParams::default();
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    set!(params, section, format: choice(&formats));
    let checked = |text: &str| {
        let params = LogParams { level: text.to_owned(), ..LogParams::default() };
        params.check().map(|()| params.level)
    };
    set!(params, section, level: text(checked));
    params
}

/// `[runtime]`.
pub(super) fn runtime(mut section: Section<'_>) -> RuntimeParams {
    let threads = section.number("worker_threads", 0..=1024_usize);
    RuntimeParams { worker_threads: threads.and_then(NonZeroUsize::new) }
}
