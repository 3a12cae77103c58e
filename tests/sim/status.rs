//! What agents report, a version for each part, and the messages that carry it: written as agents
//! write them (maps in any order, a time that moves), read as servers read them, and compared to
//! the last byte with what the version stands for.

use std::collections::BTreeMap;

use prost::Message;
use seawall::opamp::fields;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentToServer, AnyValue,
    AvailableComponents, ComponentDetails, ComponentHealth, CustomCapabilities, CustomMessage,
    EffectiveConfig, KeyValue, PackageStatus, PackageStatuses, RemoteConfigStatus, any_value,
};

use crate::simulation::random::Random;

pub(crate) const PARTS: usize = 8;

/// A part of an agent's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Description,
    Health,
    Config,
    Remote,
    Packages,
    Custom,
    Components,
    /// A field beyond every version of the schema.
    Unknown,
}

impl Part {
    pub(crate) const ALL: [Self; PARTS] = [
        Self::Description,
        Self::Health,
        Self::Config,
        Self::Remote,
        Self::Packages,
        Self::Custom,
        Self::Components,
        Self::Unknown,
    ];

    /// The bit of `AgentCapabilities` that promises it.
    pub(crate) const fn capability(self) -> u64 {
        match self {
            Self::Description | Self::Custom | Self::Unknown => 0,
            Self::Health => 0x0800,
            Self::Config => 0x0004,
            Self::Remote => 0x1000,
            Self::Packages => 0x0010,
            Self::Components => 0x4000,
        }
    }
}

/// `AgentCapabilities` beside those of the parts: reports status; accepts remote configuration;
/// accepts a restart.
pub(crate) const REPORTS_STATUS: u64 = 0x1;
pub(crate) const ACCEPTS_CONFIG: u64 = 0x2;
pub(crate) const ACCEPTS_RESTART: u64 = 0x400;
/// The number of the unknown field.
const UNKNOWN_FIELD: u32 = 100;

/// A version of each part; empty: absent from the message, or yet to be heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Status {
    pub(crate) parts: [Option<u32>; PARTS],
    /// The component map is there besides its hash.
    pub(crate) map: bool,
}

impl Status {
    pub(crate) const fn get(&self, part: Part) -> Option<u32> {
        self.parts[part as usize]
    }

    pub(crate) const fn set(&mut self, part: Part, version: u32) {
        self.parts[part as usize] = Some(version);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parts that are there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Part, u32)> + '_ {
        Part::ALL.into_iter().filter_map(|part| Some((part, self.get(part)?)))
    }

    /// As a server takes it in.
    pub(crate) fn update(&mut self, with: &Self) {
        if let Some(version) = with.get(Part::Components) {
            // A hash alone leaves a map of the same hash as it is.
            self.map = with.map || self.map && self.get(Part::Components) == Some(version);
        }
        for (part, version) in with.iter() {
            self.set(part, version);
        }
    }
}

/// An `AgentToServer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Report {
    pub(crate) agent: usize,
    pub(crate) number: u64,
    pub(crate) capabilities: u64,
    pub(crate) status: Status,
    pub(crate) custom: Option<u32>,
    pub(crate) disconnects: bool,
}

impl Report {
    /// All that it says is that the agent is there.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.status.is_empty() && self.custom.is_none() && !self.disconnects
    }
}

/// The uid of an agent, by its place.
pub(crate) fn uid_bytes(agent: usize) -> [u8; 16] {
    let mut bytes = [0x5e; 16];
    bytes[15] = u8::try_from(agent).unwrap();
    bytes
}

/// The agent whose uid that is.
pub(crate) fn agent_of(uid: &[u8]) -> Option<usize> {
    let last = usize::from(*uid.last()?);
    (uid_bytes(last) == uid).then_some(last)
}

/// The hash of a remote configuration: whom it is for, and which version.
pub(crate) fn config_hash(agent: usize, version: u32) -> Vec<u8> {
    format!("{agent}:{version}").into_bytes()
}

/// What [`config_hash`] was made of.
pub(crate) fn parse_hash(hash: &[u8]) -> Option<(usize, u32)> {
    let (agent, version) = std::str::from_utf8(hash).ok()?.split_once(':')?;
    Some((agent.parse().ok()?, version.parse().ok()?))
}

/// Writes a report as the agent would. Where it has maps, their order is chance.
pub(crate) fn encode(report: &Report, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let head = AgentToServer {
        instance_uid: uid_bytes(report.agent).to_vec(),
        sequence_num: report.number,
        capabilities: report.capabilities,
        ..Default::default()
    };
    head.encode(&mut out).unwrap();
    for (part, version) in report.status.iter() {
        let (number, value) = write_part(report, part, version, random);
        put(number, &value, &mut out);
    }
    if let Some(data) = report.custom {
        let message = CustomMessage { data: data.to_string().into(), ..Default::default() };
        put(13, &message.encode_to_vec(), &mut out);
    }
    if report.disconnects {
        put(9, &[], &mut out);
    }
    out
}

fn write_part(report: &Report, part: Part, v: u32, random: &mut Random) -> (u32, Vec<u8>) {
    match part {
        Part::Description => (3, description(v).encode_to_vec()),
        Part::Health => {
            let time = random.next();
            let mut health = health(v);
            health.status_time_unix_nano = time;
            for inner in health.component_health_map.values_mut() {
                inner.status_time_unix_nano = time ^ 5;
            }
            let map = std::mem::take(&mut health.component_health_map);
            let entry = |entry| ComponentHealth {
                component_health_map: BTreeMap::from([entry]),
                ..Default::default()
            };
            (5, scatter(&health, map, entry, random))
        }
        Part::Config => {
            let entry = |entry| AgentConfigMap { config_map: BTreeMap::from([entry]) };
            let map = scatter(&AgentConfigMap::default(), config(v), entry, random);
            let mut whole = Vec::new();
            put(1, &map, &mut whole);
            (6, whole)
        }
        Part::Remote => (7, remote(report.agent, v).encode_to_vec()),
        Part::Packages => {
            let mut packages = packages(v);
            let map = std::mem::take(&mut packages.packages);
            let entry =
                |entry| PackageStatuses { packages: BTreeMap::from([entry]), ..Default::default() };
            (8, scatter(&packages, map, entry, random))
        }
        Part::Custom => (12, custom(v).encode_to_vec()),
        Part::Components => {
            let mut components = components(v);
            let mut map = std::mem::take(&mut components.components);
            if !report.status.map {
                map.clear();
            }
            let entry = |entry| AvailableComponents {
                components: BTreeMap::from([entry]),
                ..Default::default()
            };
            (14, scatter(&components, map, entry, random))
        }
        Part::Unknown => (UNKNOWN_FIELD, v.to_string().into_bytes()),
    }
}

/// A message and the entries of its map, each written as a message of its own: protobuf makes one of
/// them, whatever their order.
fn scatter<M: Message, K, V>(
    rest: &M,
    map: BTreeMap<K, V>,
    entry: impl Fn((K, V)) -> M,
    random: &mut Random,
) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = map.into_iter().map(|e| entry(e).encode_to_vec()).collect();
    random.shuffle(&mut pieces);
    let mut out = rest.encode_to_vec();
    out.extend(pieces.concat());
    out
}

/// A field with a length.
pub(crate) fn put(number: u32, value: &[u8], out: &mut Vec<u8>) {
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Reads a report as a server does.
///
/// # Errors
/// Says which part differs from what agents write.
pub(crate) fn decode(bytes: &[u8]) -> Result<Report, String> {
    let message = AgentToServer::decode(bytes).map_err(|error| error.to_string())?;
    let agent = agent_of(&message.instance_uid).ok_or("a uid that is unknown")?;
    let mut status = Status::default();
    for part in Part::ALL {
        if let Some(version) = read_part(agent, part, &message, bytes)? {
            status.set(part, version);
        }
    }
    status.map = message.available_components.as_ref().is_some_and(|c| !c.components.is_empty());
    let custom = message.custom_message.as_ref();
    Ok(Report {
        agent,
        number: message.sequence_num,
        capabilities: message.capabilities,
        status,
        custom: custom.map(|custom| number(&custom.data, "custom_message")).transpose()?,
        disconnects: message.agent_disconnect.is_some(),
    })
}

fn number(text: &[u8], part: &str) -> Result<u32, String> {
    let text = String::from_utf8_lossy(text);
    text.parse().map_err(|_| format!("{part}: {text:?} is no version"))
}

/// Fails unless the part is exactly what the version stands for.
fn exactly<T: PartialEq>(
    part: Part,
    found: &T,
    expected: &T,
    v: u32,
) -> Result<Option<u32>, String> {
    if found == expected { Ok(Some(v)) } else { Err(format!("{part:?} of version {v} is mangled")) }
}

fn read_part(
    agent: usize,
    part: Part,
    message: &AgentToServer,
    bytes: &[u8],
) -> Result<Option<u32>, String> {
    match part {
        Part::Description => {
            let Some(found) = &message.agent_description else { return Ok(None) };
            let Some(any_value::Value::StringValue(v)) = found
                .identifying_attributes
                .first()
                .and_then(|attribute| attribute.value.as_ref()?.value.as_ref())
            else {
                return Err("a description without its version".to_owned());
            };
            let v = number(v.as_bytes(), "description")?;
            exactly(part, found, &description(v), v)
        }
        Part::Health => {
            let Some(mut found) = message.health.clone() else { return Ok(None) };
            found.status_time_unix_nano = 0;
            for inner in found.component_health_map.values_mut() {
                inner.status_time_unix_nano = 0;
            }
            let v = number(found.status.as_bytes(), "health")?;
            exactly(part, &found, &health(v), v)
        }
        Part::Config => {
            let Some(found) = &message.effective_config else { return Ok(None) };
            let map = found.config_map.clone().unwrap_or_default().config_map;
            let v = map.get("a").map_or(Ok(0), |file| number(&file.body, "config"))?;
            let expected = AgentConfigMap { config_map: config(v) };
            exactly(part, found, &EffectiveConfig { config_map: Some(expected) }, v)
        }
        Part::Remote => {
            let Some(found) = &message.remote_config_status else { return Ok(None) };
            let hash = &found.last_remote_config_hash;
            let (_, v) =
                parse_hash(hash).ok_or("a remote configuration that was offered by none")?;
            exactly(part, found, &remote(agent, v), v)
        }
        Part::Packages => {
            let Some(found) = &message.package_statuses else { return Ok(None) };
            let v = number(&found.server_provided_all_packages_hash, "packages")?;
            exactly(part, found, &packages(v), v)
        }
        Part::Custom => {
            let Some(found) = &message.custom_capabilities else { return Ok(None) };
            let text = found.capabilities.first().map_or("", String::as_str);
            let v = number(text.as_bytes(), "custom_capabilities")?;
            exactly(part, found, &custom(v), v)
        }
        Part::Components => {
            let Some(found) = &message.available_components else { return Ok(None) };
            let v = number(&found.hash, "components")?;
            let mut expected = components(v);
            if found.components.is_empty() {
                expected.components.clear();
            }
            exactly(part, found, &expected, v)
        }
        Part::Unknown => {
            let unknown = fields(bytes).filter_map(Result::ok).find(|f| f.number == UNKNOWN_FIELD);
            unknown.map(|field| number(&bytes[field.value], "unknown field")).transpose()
        }
    }
}

fn text(text: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text)) }
}

fn description(v: u32) -> AgentDescription {
    let attribute = |key: &str, value| KeyValue { key: key.to_owned(), value: Some(text(value)) };
    AgentDescription {
        identifying_attributes: vec![attribute("service.version", v.to_string())],
        non_identifying_attributes: vec![attribute("os.type", format!("os {v}"))],
    }
}

fn health(v: u32) -> ComponentHealth {
    let inner = |status: String| ComponentHealth { status, ..Default::default() };
    let parts = ["exporter", "pipeline", "receiver"];
    ComponentHealth {
        healthy: v.is_multiple_of(2),
        status: v.to_string(),
        component_health_map: parts
            .into_iter()
            .map(|name| (name.to_owned(), inner(format!("{name} {v}"))))
            .collect(),
        ..Default::default()
    }
}

fn config(v: u32) -> BTreeMap<String, AgentConfigFile> {
    let file = |body: String| AgentConfigFile { body: body.into_bytes(), ..Default::default() };
    let rest =
        ["", "b", "c"].into_iter().map(|name| (name.to_owned(), file(format!("{name} {v}"))));
    rest.chain([("a".to_owned(), file(v.to_string()))]).collect()
}

fn remote(agent: usize, v: u32) -> RemoteConfigStatus {
    RemoteConfigStatus {
        last_remote_config_hash: config_hash(agent, v),
        status: 1,
        ..Default::default()
    }
}

fn packages(v: u32) -> PackageStatuses {
    let package = |name: &str| PackageStatus {
        name: name.to_owned(),
        agent_has_version: v.to_string(),
        ..Default::default()
    };
    PackageStatuses {
        packages: ["p", "q"].into_iter().map(|name| (name.to_owned(), package(name))).collect(),
        server_provided_all_packages_hash: v.to_string().into_bytes(),
        ..Default::default()
    }
}

fn custom(v: u32) -> CustomCapabilities {
    CustomCapabilities { capabilities: vec![v.to_string(), "other".to_owned()] }
}

fn components(v: u32) -> AvailableComponents {
    let leaf = ComponentDetails::default();
    let inner = ComponentDetails {
        sub_component_map: BTreeMap::from([("otlp".to_owned(), leaf)]),
        ..Default::default()
    };
    AvailableComponents {
        components: ["exporters", "processors", "receivers"]
            .into_iter()
            .map(|name| (name.to_owned(), inner.clone()))
            .collect(),
        hash: v.to_string().into_bytes(),
    }
}
