//! `config/cluster/`: what people copy fits together. The compose file is read as the small part of YAML that it is
//! written in; each node's configuration is read as the node reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall::config::{self, Config};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cluster")
}

/// A value of the file.
#[derive(Debug, Clone, PartialEq)]
enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(BTreeMap<String, Yaml>),
}

impl Yaml {
    fn at(&self, path: &str) -> &Yaml {
        path.split('/').fold(self, |value, key| match value {
            Yaml::Map(map) => map.get(key).unwrap_or_else(|| panic!("{key} of {path}: {map:?}")),
            other => panic!("{key} of {path} in {other:?}"),
        })
    }

    fn text(&self, path: &str) -> &str {
        match self.at(path) {
            Yaml::Text(text) => text,
            other => panic!("{path} is {other:?}"),
        }
    }

    fn map(&self, path: &str) -> &BTreeMap<String, Yaml> {
        match self.at(path) {
            Yaml::Map(map) => map,
            other => panic!("{path} is {other:?}"),
        }
    }

    fn words(&self, path: &str) -> Vec<&str> {
        let Yaml::List(list) = self.at(path) else { panic!("{path} is no list") };
        list.iter().map(|value| value.text_itself()).collect()
    }

    fn text_itself(&self) -> &str {
        match self {
            Yaml::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

/// Maps by indentation, lists of texts, lists in brackets, anchors of maps and `<<` that merges them: nothing else.
struct Reader<'a> {
    lines: Vec<(usize, &'a str)>,
    next: usize,
    anchors: BTreeMap<String, BTreeMap<String, Yaml>>,
}

impl<'a> Reader<'a> {
    fn read(text: &'a str) -> Yaml {
        let lines = text.lines().filter(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let lines = lines.map(|line| (line.len() - line.trim_start().len(), line.trim())).collect();
        let mut reader = Self { lines, next: 0, anchors: BTreeMap::new() };
        let value = reader.block(0);
        assert_eq!(reader.next, reader.lines.len(), "a line that fits nowhere");
        value
    }

    fn block(&mut self, indent: usize) -> Yaml {
        let (mut map, mut list) = (BTreeMap::new(), Vec::new());
        while let Some((at, line)) = self.lines.get(self.next).copied() {
            if at < indent {
                break;
            }
            assert_eq!(at, indent, "{line}");
            self.next += 1;
            if let Some(item) = line.strip_prefix("- ") {
                list.push(scalar(item));
                continue;
            }
            let (key, rest) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
            let (key, rest) = (key.trim_matches('"'), rest.trim());
            if let (true, Some(name)) = (key == "<<", rest.strip_prefix('*')) {
                map.extend(self.anchors[name].clone());
                continue;
            }
            let value = match rest.strip_prefix('&') {
                None if !rest.is_empty() => scalar(rest),
                anchor => self.below(indent, anchor),
            };
            assert!(map.insert(key.to_owned(), value).is_none(), "{key} is there twice");
        }
        if list.is_empty() { Yaml::Map(map) } else { Yaml::List(list) }
    }

    fn below(&mut self, indent: usize, anchor: Option<&str>) -> Yaml {
        let deeper = self.lines.get(self.next).filter(|(at, _)| *at > indent);
        let Some((at, _)) = deeper.copied() else { return Yaml::Text(String::new()) };
        let value = self.block(at);
        if let (Some(name), Yaml::Map(map)) = (anchor, &value) {
            self.anchors.insert(name.to_owned(), map.clone());
        }
        value
    }
}

fn scalar(text: &str) -> Yaml {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(items) => {
            let quoted = items.split('"').skip(1).step_by(2);
            Yaml::List(quoted.map(|item| Yaml::Text(item.to_owned())).collect())
        }
        None => Yaml::Text(text.trim_matches('"').to_owned()),
    }
}

fn compose() -> Yaml {
    Reader::read(&std::fs::read_to_string(folder().join("compose.yaml")).unwrap())
}

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// A node's configuration, by its file and the environment of its service.
fn config_of(node: &Yaml) -> Config {
    let command = node.words("command");
    let [run, flag, inside] = command[..] else { panic!("{command:?}") };
    assert_eq!((run, flag), ("run", "--config"));
    let volumes = node.words("volumes");
    let file = volumes.iter().find_map(|volume| volume.strip_suffix(&format!(":{inside}:ro")));
    let variables = node.map("environment").iter();
    let variables: Vec<(String, String)> =
        variables.map(|(key, value)| (key.clone(), value.text_itself().to_owned())).collect();
    let read = config::load(Some(&folder().join(file.unwrap())), &variables);
    read.unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).0
}

#[test]
fn each_node_of_the_compose_file_has_a_right_configuration_and_a_name_and_address_of_its_own() {
    let compose = compose();
    for name in NODES {
        let node = compose.at(&format!("services/{name}"));
        let config = config_of(node);
        assert_eq!(config.ownership.node_name().as_str(), name);
        let advertised = config.ownership.advertise.unwrap();
        assert_eq!(advertised.ip().to_string(), node.text("networks/fleet/ipv4_address"));
        assert!(config.ownership.listen_address().unwrap().ip().is_unspecified());
        let grace = config::duration(node.text("stop_grace_period")).unwrap();
        let last_words = Duration::from_secs(10);
        let drain = config.drain.notice + config.drain.time_max;
        assert!(
            grace > drain + config.drain.time_max / 4 + last_words,
            "{name} is killed: {grace:?}"
        );
        let descriptors: u64 = node.text("ulimits/nofile/hard").parse().unwrap();
        assert!(descriptors >= 60_000 * 16 / 15 + 256 + 4, "{descriptors}");
        assert_eq!(node.text("depends_on/redis/condition"), "service_healthy");
    }
}

#[test]
fn every_service_of_the_compose_file_has_a_health_check_and_redis_keeps_what_it_is_told() {
    let compose = compose();
    for (name, service) in compose.map("services") {
        assert!(service.words("healthcheck/test").len() > 1, "{name}");
        assert!(!service.text("stop_grace_period").is_empty(), "{name}");
    }
    let redis = compose.words("services/redis/command").join(" ");
    for setting in ["--appendonly yes", "--maxmemory-policy noeviction"] {
        assert!(redis.contains(setting), "{redis}");
    }
}

/// The balancer's sample asks the nodes of the compose file, and asks the port at which they answer.
#[test]
fn the_balancers_sample_fits_the_nodes() {
    let compose = compose();
    let sample = std::fs::read_to_string(folder().join("haproxy.cfg")).unwrap();
    let variables = compose.map("services/balancer/environment");
    for (number, name) in (1..).zip(NODES) {
        let node = compose.at(&format!("services/{name}"));
        let variable = format!("NODE_{number}");
        let address = node.text("networks/fleet/ipv4_address");
        assert_eq!(variables[&variable], Yaml::Text(address.to_owned()));
        let line = format!("server {name} \"${{{variable}-10.0.0.1{number}}}:4320\"");
        assert!(sample.contains(&line), "{line}");
    }
    let admin = Config::default().admin.listen.port();
    assert!(sample.contains(&format!("check port {admin} ")), "{admin}");
}

/// A balancer that gives up before Seawall's pings come, or before a parked agent is admitted, closes living
/// connections.
#[test]
fn the_balancers_wait_longer_than_seawall() {
    let config = Config::default();
    let haproxy = std::fs::read_to_string(folder().join("haproxy.cfg")).unwrap();
    let timeout = |text: &str, name: &str| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(name));
        let value = lines.map(str::trim).next().unwrap_or_else(|| panic!("{name}"));
        config::duration(value.trim_end_matches(';')).unwrap()
    };
    let silence = config.edge.keep_alive.ping_interval + config.edge.keep_alive.ping_timeout;
    let admission =
        config.edge.admission.admission.park_ttl + config.edge.admission.admission.hold_max;
    assert!(timeout(&haproxy, "timeout tunnel") > silence);
    assert!(timeout(&haproxy, "timeout server") > admission);
    assert!(timeout(&haproxy, "timeout client") > admission);
    assert!(timeout(&haproxy, "timeout http-keep-alive") >= config.edge.http_idle_timeout);
    let nginx = std::fs::read_to_string(folder().join("nginx.conf")).unwrap();
    assert!(timeout(&nginx, "proxy_read_timeout") > silence.max(admission));
    assert!(timeout(&nginx, "proxy_send_timeout") > silence.max(admission));
    assert!(timeout(&nginx, "keepalive_timeout") >= config.edge.http_idle_timeout);
}
