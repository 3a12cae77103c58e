//! The sample against the defaults, and every kind of mistake.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::core::admission::{ClientPatience, ClientTransport, RefusalForm};
use crate::core::session::CustomKind;
use crate::opamp::digest::Volatile;
use crate::ownership::params::SharedStore;
use crate::ownership::redis::{RedisMode, RedisPassword};
use crate::sessions::params::CustomKinds;
use crate::upstream::params::Mode;

const SAMPLE: &str = include_str!("../../config/seawall.toml");
const SERVER: &str = "[[upstream.servers]]\nurl = \"ws://10.0.0.5:4320\"\n";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The mistakes of `text`, one a line, after a server has been added to it.
fn mistakes(text: &str) -> Vec<String> {
    mistakes_with(&format!("{text}\n{SERVER}"), &[])
}

fn mistakes_with(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let outcome = parse(text, &variables(environment));
    outcome.expect_err("is wrong").0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_sample_shows_the_defaults() {
    let mut config = parse(SAMPLE, &[]).unwrap();
    let [server] = config.upstream.servers.as_slice() else { panic!("one server") };
    assert_eq!(server.name, "main");
    assert_eq!(server.mode, Mode::Multiplexed { links: 4.try_into().unwrap() });
    assert_eq!((server.headers.len(), &server.ca_file), (0, &None));
    config.upstream.servers.clear();
    assert_eq!(config, Config::default());
}

#[test]
fn the_sample_shows_every_key() {
    let (_, _, known) = read(SAMPLE, &[]);
    assert!(known.len() > 40, "{known:?}");
    let mut shown = BTreeSet::new();
    let mut section = String::new();
    for line in SAMPLE.lines().map(|line| line.trim_start_matches("# ")) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
            for list in ["servers", "clients", "custom_messages"] {
                section = section.replace(list, &format!("{list}[]"));
            }
            shown.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ") {
            shown.insert(format!("{section}.{key}"));
        }
    }
    for key in known {
        assert!(shown.contains(&key), "config/seawall.toml does not show {key}");
    }
}

#[test]
fn a_server_needs_no_more_than_an_address() {
    let config = parse(SERVER, &[]).unwrap();
    let server = &config.upstream.servers[0];
    assert_eq!(server.url.to_string(), "ws://10.0.0.5:4320/v1/opamp");
    assert_eq!(server.name, "10.0.0.5:4320");
    let root = parse("[[upstream.servers]]\nurl = \"wss://host/\"", &[]).unwrap();
    assert_eq!(root.upstream.servers[0].url.path(), "/");
}

#[test]
fn all_mistakes_are_reported_at_once_with_key_and_line() {
    let text = "[edge]\nping_intervall = \"30s\"\nbacklog = \"many\"\ngrace_period = \"1s\"\n\
                message_timeout = 60\n[sessions]\ngrace_period = \"soon\"\n[colours]\nx = 1\n";
    assert_eq!(
        mistakes(text),
        [
            "line 2: edge.ping_intervall: not a known key; did you mean `ping_interval`?",
            "line 3: edge.backlog: \"many\" is not a whole number",
            "line 4: edge.grace_period: not a known key here; it belongs in [sessions]",
            "line 5: edge.message_timeout: needs a unit, such as \"60s\" or \"60ms\"",
            "line 7: sessions.grace_period: \"soon\" is not a length of time such as \"500ms\", \
             \"60s\", \"2m\"",
            "line 8: colours: not a known key",
        ]
    );
}

#[test]
fn custom_messages_are_events_but_for_those_that_are_named() {
    let entry = |capability: &str, kind: &str| {
        format!("[[sessions.custom_messages]]\ncapability = \"{capability}\"\nkind = \"{kind}\"\n")
    };
    let text = entry("com.example", "latest") + SERVER;
    let kinds = parse(&text, &[]).unwrap().sessions.custom_kinds;
    assert_eq!(kinds, CustomKinds::with(vec![("com.example".to_owned(), CustomKind::Latest)]));
    let wrong = entry("a", "event")
        + &entry("a", "state")
        + "[[sessions.custom_messages]]\nkind = \"dedup\"\n"
        + SERVER;
    let keys: Vec<_> = parse(&wrong, &[]).unwrap_err().0.into_iter().map(|m| m.key).collect();
    let at = |place: u8, key: &str| format!("sessions.custom_messages[{place}].{key}");
    assert_eq!(keys, [at(1, "capability"), at(1, "kind"), at(2, "capability")]);
}

#[test]
fn an_operator_adds_kinds_of_clients() {
    let text = "[[admission.clients]]\nuser_agent = \"acme/\"\ntransport = \"websocket\"\nwait = \"4s\"\n\
                hold = \"1s\"\nrefusal = \"unavailable\"\n[[admission.clients]]\nuser_agent = \"other\"\n";
    let config = parse(&format!("{text}{SERVER}"), &[]).unwrap();
    let [acme, other] = config.edge.admission.clients.as_slice() else { panic!("two") };
    let [wait, hold] = [4, 1].map(Duration::from_secs);
    let patience = ClientPatience::new(wait, hold).refused_by(RefusalForm::Message);
    assert_eq!((acme.user_agent.as_str(), acme.patience), ("acme/", patience));
    assert_eq!((acme.transport, other.transport), (Some(ClientTransport::WebSocket), None));
    assert_eq!(other.patience, ClientPatience::new(wait * 2, Duration::ZERO));
    let client = |keys: &str| mistakes(&format!("[[admission.clients]]\n{keys}"));
    for (keys, mistake) in [
        ("wait = \"4s\"", "admission.clients[0].user_agent: is missing"),
        ("user_agent = \"\"", "admission.clients[0].user_agent: must name a client"),
        ("user_agent = \"a\\tb\"", "must be up to 256 printable characters"),
        ("user_agent = \"a\"\ntransport = \"tcp\"", "clients[0].transport: must be one of"),
        ("user_agent = \"a\"\nwait = \"1ms\"", "clients[0].wait: must be 100ms to"),
        ("user_agent = \"a\"\nwait = \"1s\"\nhold = \"2s\"", "hold: is longer than wait"),
        ("user_agent = \"a\"\nrefusal = \"429\"", "clients[0].refusal: must be one of"),
        (
            "user_agent = \"a\"\n[[admission.clients]]\nuser_agent = \"ab\"",
            "clients[1].user_agent: never counts",
        ),
    ] {
        let found = client(keys);
        assert!(found.iter().any(|found| found.contains(mistake)), "{keys}: {found:?}");
    }
}

#[test]
fn admission_is_summarised() {
    let with =
        |keys: &str| parse(&format!("{SERVER}[admission]\n{keys}\n"), &[]).unwrap().to_string();
    let admission = |keys: &str| {
        let text = with(keys);
        text.lines().find_map(|line| line.strip_prefix("admission: ")).unwrap().to_owned()
    };
    assert_eq!(
        admission("rate = 8000"),
        "8,000 connections/s (10,000 agents back in about 2 s, 100,000 agents back in about 13 s); waiting \
         room for 160,000 agents, each at most 30s; beyond that 503 with Retry-After"
    );
    assert_eq!(
        admission(""),
        "automatic; waiting room for 20s of admissions, each at most 30s; beyond that 503 with Retry-After"
    );
    let fixed = admission("park_horizon = \"0s\"\nretry_fixed = \"30s\"");
    assert!(fixed.ends_with("no waiting room; 503 with Retry-After: 30 when the rate is used up"));
}

#[test]
fn a_renamed_key_names_its_successor() {
    let found = mistakes("[upstream]\nresync_rate = 2000\n[sessions]\nlinger = \"60s\"\n");
    assert_eq!(
        found,
        [
            "line 2: upstream.resync_rate: renamed; say upstream.pace_max",
            "line 4: sessions.linger: renamed; say sessions.grace_period",
        ]
    );
    let found = mistakes_with(SERVER, &[("SEAWALL_SESSIONS__LINGER", "60s")]);
    let expected = "variable SEAWALL_SESSIONS__LINGER: sessions.linger: renamed; say \
                    SEAWALL_SESSIONS__GRACE_PERIOD";
    assert_eq!(found, [expected]);
}

#[test]
fn every_renamed_key_has_a_successor_that_exists() {
    let (_, _, known) = read(SAMPLE, &[]);
    for (old, new) in suggest::RENAMED {
        assert!(known.contains(*new), "{old} names {new}, which is no key");
        assert!(!known.contains(*old), "{old} is a key still");
        let (section, key) = old.split_once('.').unwrap();
        let found = mistakes(&format!("[{section}]\n{key} = 1\n"));
        assert_eq!(found, [format!("line 2: {old}: renamed; say {new}")]);
    }
}

#[test]
fn broken_toml_does_not_hide_the_other_mistakes() {
    let found = mistakes("[edge]\npath = \npings = 3\n");
    assert!(found[0].starts_with("line 2: not TOML: "), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("line 3: edge.pings: ")), "{found:?}");
}

#[test]
fn what_does_not_count_as_change_can_be_chosen() {
    let with = |list: &str| {
        let servers = "[[upstream.servers]]\nurl = \"ws://a\"\nname = \"a\"\n";
        parse(&format!("{servers}[sessions]\nvolatile = {list}\n"), &[]).unwrap().sessions.volatile
    };
    assert_eq!(with("[]"), Volatile::NONE);
    let paths = ["health.status", "effective_config.config_map.config_map.content_type"];
    let list = format!("[\"{}\", \"{}\"]", paths[0], paths[1]);
    let volatile = Volatile::parse(paths).ok();
    assert_eq!(volatile, Some(with(&list)));
}

#[test]
fn values_out_of_bounds_name_the_bounds() {
    for (text, expected) in [
        ("edge.ping_timeout = \"0s\"", "edge.ping_timeout: must be 1ms to 8760h, not 0s"),
        ("edge.head_bytes_max = 10", "edge.head_bytes_max: must be 1KiB to 1MiB, not 10B"),
        ("edge.gzip_ratio_max = 100", "edge.gzip_ratio_max: removed; edge.message_bytes_max alone"),
        ("edge.paths = [\"v1\"]", "edge.paths: \"v1\" is not a path such as \"/v1/opamp\""),
        ("edge.paths = []", "edge.paths: names no path"),
        ("edge.paths = [\"/a\", \"/%61\"]", "edge.paths: names a path twice"),
        ("edge.listen = []", "edge.listen: names no address"),
        ("admin.listen = \"127.0.0.1:4320\"", "admin.listen: is one of edge.listen"),
        ("edge.listen = [\"[::]:1\", \"[::]:1\"]", "edge.listen: names an address twice"),
        ("sessions.volatile = [\"helth.status\"]", "sessions.volatile: `helth.status`: `helth` is"),
        ("log.format = \"xml\"", "must be one of \"auto\", \"text\", \"json\", not \"xml\""),
        ("log.level = \"seawall=loud\"", "log.level: "),
        ("log.level = \"inof\"", "log.level: \"inof\" is no level: error, warn, info,"),
        ("log.level = \"warning\"", "log.level: \"warning\" is no level"),
        ("log.level = \"\"", "log.level: \"\" is no level"),
        ("upstream.proxy = \"socks5://p\"", "upstream.proxy: must begin with http://"),
        ("ownership.rebalance = \"yes\"", "must be one of \"off\", \"on\", not \"yes\""),
        ("runtime.worker_threads = 1.5", "must be a whole number, not a number with a fraction"),
        ("upstream.pace_min = 0", "upstream.pace_min: must be 1 to 10000000, not 0"),
        ("admission.park_ttl = \"45s\"", "admission.park_ttl: must be 1s to 44s, not 45s"),
        ("admission.park_ttl = \"10s\"", "admission.park_horizon: must be at most park_ttl"),
        ("admission.retry_min = \"11m\"", "admission.retry_max: is less than retry_min (11m)"),
        ("admission.retry_fixed = \"1500ms\"", "admission.retry_fixed: must be whole seconds"),
        ("admission.source = \"header\"", "must be one of \"peer\", \"x-forwarded-for\", \"none\""),
        ("edge = 3", "edge: must be a table, not a number"),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_named() {
    for (text, expected) in [
        ("upstream.backoff_initial = \"31s\"", "upstream.backoff_max: "),
        ("upstream.pace_min = 300000", "upstream.pace_max: is less than upstream.pace_min"),
        ("edge.buffered_bytes_max = \"1MiB\"", "edge.buffered_bytes_max: "),
        ("sessions.outbox_bytes_max = \"1GiB\"", "sessions.outbox_total_bytes_max: "),
        ("admin.listen = \"0.0.0.0:4320\"", "admin.listen: "),
    ] {
        let found = mistakes(&format!("{text}\n"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn servers_say_what_is_wrong_with_them() {
    assert_eq!(
        mistakes_with("", &[]),
        ["upstream.servers: no [[upstream.servers]]: name at least one server, by `url`"]
    );
    for (text, expected) in [
        ("name = \"a\"", "upstream.servers[0].url: is missing"),
        ("url = \"http://h\"", "must begin with ws://, not http://"),
        ("url = \"tcp://h\"", "must begin with ws:// or wss://"),
        ("url = \"h:1\"", "must begin with ws:// or wss://"),
        ("url = \"ws://u:p@h\"", "must not hold a user or password"),
        ("url = \"ws://h:0\"", "names no valid port"),
        (
            "url = \"wss://256.256.256.256\"",
            "servers[0].url: \"wss://256.256.256.256\" names no valid",
        ),
        ("url = \"ws://h\"\nproxy = \"p:0\"", "servers[0].proxy: is not a proxy such as"),
        ("url = \"ws://h\"\nheaders_from_file = { a = \"/nowhere\" }", "file.a: /nowhere: "),
        ("url = \"ws://h\"\nheaders = { Accept-Encoding = \"gzip\" }", "is set by Seawall itself"),
        ("url = \"ws://h\"\nmode = \"udp\"", "\"per-agent\", \"http\", not \"udp\""),
        ("url = \"ws://h\"\nmode = \"http\"", "must begin with http://, not ws://, in mode"),
        ("url = \"wss://h\"\nmode = \"http\"", "must begin with https://, not wss://, in mode"),
        ("url = \"h\"\nmode = \"http\"", "must begin with http:// or https:// in mode"),
        ("url = \"https://h\"", "must begin with wss://, not https://, but in mode \"http\""),
        ("url = \"http://h\"\nmode = \"http\"\nlinks = 2", "servers[0].links: has no meaning"),
        ("url = \"http://h\"\nmode = \"http\"\nconnections = 0", "must be 1 to 1024, not 0"),
        ("url = \"http://h\"\nmode = \"http\"\npoll_interval = \"1ms\"", "must be 500ms to 24h"),
        ("url = \"ws://h\"\nconnections = 2", "servers[0].connections: has no meaning in mode"),
        ("url = \"ws://h\"\npoll_interval = \"9s\"", "servers[0].poll_interval: has no meaning"),
        ("url = \"ws://h\"\nmode = \"per-agent\"\nlinks = 2", "servers[0].links: has no meaning"),
        (
            "url = \"ws://h\"\nmode = \"per-agent\"\nkeyed_by = \"uid\"",
            "servers[0].keyed_by: has no meaning",
        ),
        (
            "url = \"http://h\"\nmode = \"http\"\nkeyed_by = \"link\"",
            "servers[0].keyed_by: has no meaning",
        ),
        ("url = \"ws://h\"\nlinks = 0", "must be 1 to 1024, not 0"),
        ("url = \"ws://h\"\nmod = \"x\"", "did you mean `mode`?"),
        ("url = \"wss://h\"\nca_file = \"/nowhere\"", "servers[0].ca_file: /nowhere: "),
        ("url = \"ws://h\"\nheaders = { Host = \"x\" }", "headers.Host: is set by Seawall itself"),
        ("url = \"ws://h\"\nheaders = { \"a b\" = \"x\" }", "is not a header's name"),
        ("url = \"ws://h\"\nheaders = { a = \"x\\ny\" }", "holds characters that a header cannot"),
        ("url = \"ws://h\"\nheaders_from_env = { a = \"NONE\" }", "env.a: NONE is not set"),
        ("url = \"ws://h\"\nheaders = {a=\"x\"}\nheaders_from_env = {A=\"X\"}", "is given twice"),
    ] {
        let found = mistakes_with(&format!("[[upstream.servers]]\n{text}"), &[("X", "x")]);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
    let found = mistakes(SERVER);
    assert!(found[0].contains("servers[1].name: \"10.0.0.5:4320\" is the name of"), "{found:?}");
}

#[test]
fn a_file_that_holds_something_else_than_it_should_is_a_mistake() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
    let path = file.path().display().to_string();
    let text = format!("[[upstream.servers]]\nurl = \"wss://h\"\nca_file = {path:?}");
    let found = mistakes_with(&text, &[]);
    assert!(
        found.len() == 1 && found[0].contains(&format!("servers[0].ca_file: {path}: ")),
        "{found:?}"
    );
    let redis = "store = \"redis\"\nadvertise = \"10.0.0.7:1\"\nredis.addresses = [\"a:1\"]\nredis.tls = \"on\"";
    for keys in
        [format!("ca_file = {path:?}"), format!("certificate_file = {path:?}\nkey_file = {path:?}")]
    {
        let keys = keys.replace("\n", "\nredis.");
        let found = mistakes(&format!("[ownership]\n{redis}\nredis.{keys}"));
        assert!(
            found.len() == 1 && found[0].contains(&format!("redis.tls: {path}: ")),
            "{found:?}"
        );
    }
}

#[test]
fn a_gateway_that_would_dial_itself_is_a_mistake() {
    for (listen, url, mistaken) in [
        ("0.0.0.0:4320", "ws://127.0.0.1:4320", true),
        ("0.0.0.0:4320", "ws://localhost:4320/v1/opamp", true),
        ("[::]:4320", "ws://[::1]:4320", true),
        ("[::]:4320", "ws://127.0.0.1:4320", true),
        ("127.0.0.1:4320", "ws://0.0.0.0:4320", true),
        ("10.0.0.7:80", "ws://10.0.0.7", true),
        // Of the machines on which such a node runs, this may be another one.
        ("0.0.0.0:4320", "ws://10.0.0.7:4320", false),
        ("10.0.0.7:4320", "ws://127.0.0.1:4320", false),
        ("0.0.0.0:4320", "ws://127.0.0.1:4321", false),
        ("0.0.0.0:4320", "ws://[::1]:4320", false),
        ("0.0.0.0:4320", "ws://seawall:4320", false),
    ] {
        let text = format!("[edge]\nlisten = {listen:?}\n[[upstream.servers]]\nurl = {url:?}");
        let told = parse(&text, &[]).err().map(|found| found.to_string()).unwrap_or_default();
        assert_eq!(
            told.contains("upstream.servers[0].url: is one of edge.listen"),
            mistaken,
            "{text}: {told}"
        );
    }
    let found = mistakes_with("[[upstream.servers]]\nurl = \"ws://127.0.0.1:9464\"", &[]);
    assert!(found[0].contains("is admin.listen"), "{found:?}");
}

#[test]
fn servers_are_behind_the_proxy_that_is_configured_or_around() {
    let proxies = |text: &str, environment: &[(&str, &str)]| {
        let text =
            format!("{text}\n{SERVER}[[upstream.servers]]\nurl = \"wss://b\"\nproxy = \"none\"");
        let config = parse(&text, &variables(environment)).unwrap();
        let shown = config.to_string();
        let named =
            config.upstream.servers.iter().map(|server| {
                server.proxy.as_ref().map(|proxy| proxy.to_string()).unwrap_or_default()
            });
        (named.collect::<Vec<_>>(), shown)
    };
    let around = [("HTTP_PROXY", "http://u:hush@around:3128"), ("HTTPS_PROXY", "around")];
    let (named, shown) = proxies("", &around);
    assert_eq!(named, ["around:3128", ""]);
    assert!(shown.contains("through the proxy around:3128") && !shown.contains("hush"), "{shown}");
    assert_eq!(proxies("upstream.proxy = \"p\"", &around).0, ["p:80", ""]);
    assert_eq!(proxies("upstream.proxy = \"none\"", &around).0, ["", ""]);
    let found = mistakes_with(SERVER, &[("http_proxy", "https://u:hush@p")]);
    assert!(
        found[0].contains("servers[0].proxy: the environment variable http_proxy"),
        "{found:?}"
    );
    assert!(!found[0].contains("hush"));
}

#[test]
fn plain_http_has_keys_of_its_own() {
    let with = |keys: &str| {
        let text = format!("[[upstream.servers]]\nurl = \"http://h\"\nmode = \"http\"\n{keys}");
        parse(&text, &[]).unwrap().upstream.servers[0].clone()
    };
    let mode = |connections: u16, seconds| Mode::Http {
        connections: connections.try_into().unwrap(),
        poll_interval: std::time::Duration::from_secs(seconds),
    };
    let server = with("");
    assert_eq!((server.mode, server.url.path()), (mode(32, 30), "/v1/opamp"));
    assert_eq!(with("connections = 8\npoll_interval = \"2m\"").mode, mode(8, 120));
}

#[test]
fn headers_come_from_all_three_places_and_stay_secret() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "  from a file ").unwrap();
    let text = format!(
        "{SERVER}headers = {{ X-A = \"literal\" }}\nheaders_from_env = {{ X-B = \"TOKEN\" }}\n\
         headers_from_file = {{ X-C = {:?} }}",
        file.path()
    );
    let config = parse(&text, &variables(&[("TOKEN", "from the environment")])).unwrap();
    let headers = &config.upstream.servers[0].headers;
    let values: Vec<_> = headers.iter().map(|(_, source)| source.read().unwrap()).collect();
    assert_eq!(values, ["literal", "from the environment", "from a file"]);
    assert!(values.iter().all(http::HeaderValue::is_sensitive));
    let shown = format!("{config} {config:?}");
    assert!(shown.contains("x-b") && !shown.contains("from the"), "{shown}");
}

#[test]
fn a_store_in_redis_needs_an_address() {
    let with = |keys: &str| {
        let text = format!(
            "{SERVER}[ownership]\nstore = \"redis\"\nadvertise = \"10.0.0.7:1\"\n[ownership.redis]\n{keys}"
        );
        parse(&text, &[]).unwrap().ownership.store
    };
    let SharedStore::Redis(redis) = with("addresses = [\"redis:6379\"]") else { panic!("Redis") };
    assert_eq!((redis.mode, redis.prefix.as_str()), (RedisMode::Single, "seawall:"));
    assert_eq!((redis.database, redis.user, redis.password, redis.tls), (0, None, None, None));
    let three = "addresses = [\"a:1\", \"[::1]:2\", \"c:3\"]\nmode = \"sentinel\"\nmaster = \"m\"";
    let SharedStore::Redis(redis) = with(three) else { panic!("Redis") };
    assert_eq!(redis.mode, RedisMode::Sentinel { master: "m".to_owned() });
    assert_eq!(redis.addresses[1].to_string(), "[::1]:2");
}

#[test]
fn a_wrong_store_says_what_is_wrong_with_it() {
    const REDIS: &str = "store = \"redis\"\nredis.addresses = [\"a:1\"]\n";
    for (text, expected) in [
        ("store = \"redis\"".to_owned(), "redis.addresses: is missing"),
        (REDIS.to_owned(), "ownership.advertise: is missing"),
        ("listen = \"4319\"".to_owned(), "ownership.listen: \"4319\" is not an address"),
        ("store = \"etcd\"".to_owned(), "must be one of \"memory\", \"redis\""),
        ("advertise = \"10.0.0.7:4319\"".to_owned(), "advertise: has no meaning for store"),
        ("redis.prefix = \"x\"".to_owned(), "has no meaning for store \"memory\""),
        ("node = \"Node\"".to_owned(), "ownership.node: a node's name is made of"),
        ("advertise = \"0.0.0.0:1\"".to_owned(), "cannot be dialled"),
        ("lease = \"10ms\"".to_owned(), "ownership.lease: must be 1s to 5m, not 10ms"),
        (format!("{REDIS}advertise = \"a:1\""), "ownership.advertise: \"a:1\" is not an address"),
        (format!("{REDIS}redis.mode = \"sentinel\""), "redis.master: is missing"),
        (format!("{REDIS}redis.master = \"m\""), "redis.master: has no meaning"),
        (format!("{REDIS}redis.mode = \"cluster\"\nredis.database = 1"), "database: must be 0"),
        (format!("{REDIS}redis.prefix = \"{{a}}\""), "none of them a space or a brace"),
        (format!("{REDIS}redis.user = \"u\""), "redis.user: needs a password"),
        (format!("{REDIS}redis.password_file = \"/nowhere\""), "/nowhere: "),
        (format!("{REDIS}redis.key_file = \"/etc/hostname\""), "key_file: and certificate_file"),
        ("store = \"redis\"\nredis.addresses = [\"a\"]".to_owned(), "is not a host and port"),
    ] {
        let found = mistakes(&format!("[ownership]\n{text}\n"));
        assert!(found.iter().any(|line| line.contains(expected)), "{text}: {found:?}");
    }
}

#[test]
fn a_password_comes_from_the_environment_or_a_file_and_stays_secret() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "hush").unwrap();
    let own = "[ownership]\nstore = \"redis\"\nadvertise = \"10.0.0.7:1\"\n\
               redis.addresses = [\"a:1\"]\nredis.user = \"u\"\n";
    let in_file = format!("{own}redis.password_file = {:?}\n{SERVER}", file.path());
    let variable = variables(&[("SEAWALL_OWNERSHIP__REDIS__PASSWORD", "hush")]);
    for (text, variables) in [(in_file, vec![]), (format!("{own}{SERVER}"), variable)] {
        let config = parse(&text, &variables).unwrap();
        let SharedStore::Redis(redis) = &config.ownership.store else { panic!("Redis") };
        assert_eq!(redis.password, Some(RedisPassword("hush".to_owned())));
        assert!(!format!("{config} {config:?}").contains("hush"));
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let environment = variables(&[
        ("SEAWALL_EDGE__PATHS", "/other, /another"),
        ("SEAWALL_EDGE__LISTEN", "127.0.0.1:1, 127.0.0.1:2"),
        ("SEAWALL_EDGE__BACKLOG", "99"),
        ("SEAWALL_SESSIONS__GRACE_PERIOD", "5s"),
        ("SEAWALL_UPSTREAM__SERVERS__0__URL", "ws://replaced:1/"),
        ("SEAWALL_UPSTREAM__SERVERS__1__URL", "ws://added:1/"),
        ("SEAWALL_UPSTREAM__SERVERS__1__HEADERS__X_A", "1"),
    ]);
    let config = parse(SERVER, &environment).unwrap();
    assert_eq!(config.edge.paths.as_slice(), ["/other", "/another"]);
    assert_eq!(config.edge.listen.len(), 2);
    assert_eq!((config.edge.backlog, config.sessions.grace_period.as_secs()), (99, 5));
    let names: Vec<_> = config.upstream.servers.iter().map(|server| &server.name).collect();
    assert_eq!(names, ["replaced:1", "added:1"]);
}

#[test]
fn variables_that_mean_nothing_are_mistakes_but_those_of_others_are_not() {
    let found = mistakes_with(
        SERVER,
        &[
            ("SEAWALL_EDGE__PAHTS", "/x"),
            ("SEAWALL_EDGE_PATHS", "/x"),
            ("SEAWALL_UPSTREAM__SERVERS__7__URL", "ws://h"),
            // What Kubernetes sets in each pod beside a service named `seawall`.
            ("SEAWALL_SERVICE_HOST", "10.0.0.1"),
            ("SEAWALL_PORT_4320_TCP", "tcp://10.0.0.1:4320"),
        ],
    );
    assert_eq!(
        found,
        [
            "variable SEAWALL_EDGE_PATHS: not a known variable; did you mean SEAWALL_EDGE__PATHS?",
            "variable SEAWALL_EDGE__PAHTS: edge.pahts: not a known key; did you mean `paths`?",
            "variable SEAWALL_UPSTREAM__SERVERS__7__URL: upstream.servers.7.url: place 7 leaves a \
             gap: the list has 1 entries",
        ]
    );
    let found = mistakes_with("", &[("SEAWALL_UPSTREAM_SERVERS_0_URL", "ws://h")]);
    assert!(found[0].contains("did you mean SEAWALL_UPSTREAM__SERVERS__0__URL?"), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let found = load(Some(Path::new("/nowhere/seawall.toml")), &[]).unwrap_err();
    assert!(found.to_string().starts_with("the file cannot be read: "), "{found}");
}
