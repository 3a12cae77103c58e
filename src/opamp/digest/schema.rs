//! What the status fields of an AgentToServer are made of, as far as their canonical bytes depend on it.
//!
//! Written by hand rather than read from descriptors: these tables decide digests that are stored and
//! compared between nodes, so a change must be seen in a review. A test compares them with `proto/`.

use crate::opamp::field_set::agent_field;
use crate::opamp::fields::WireType;

/// How a field's value counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValueKind {
    /// A truth value; every number but 0 is true.
    Bool,
    /// An enum: 32 bits, as decoders read it.
    Enum,
    /// A 64-bit integer.
    Integer,
    /// A fixed64 or a double, by its bits.
    Fixed64,
    /// A string or bytes.
    Text,
    /// Strings, in their order.
    Texts,
    /// A message.
    Message(&'static Shape),
    /// Messages, in their order.
    Messages(&'static Shape),
    /// A map from a string to a message: the order of entries is free, and a key's last entry counts.
    Map(&'static Shape),
}

impl ValueKind {
    /// How the value is laid out.
    #[inline]
    pub(super) const fn wire(self) -> WireType {
        match self {
            Self::Bool | Self::Enum | Self::Integer => WireType::Varint,
            Self::Fixed64 => WireType::Fixed64,
            _ => WireType::Len,
        }
    }

    /// The message within, if it is one.
    pub(super) const fn shape(self) -> Option<&'static Shape> {
        match self {
            Self::Message(shape) | Self::Messages(shape) | Self::Map(shape) => Some(shape),
            _ => None,
        }
    }
}

/// A message of the schema.
#[derive(Debug)]
pub(super) struct Shape {
    /// The schema's name of it.
    pub(super) name: &'static str,
    /// Its own place in a table of shapes, below [`SHAPES`].
    pub(super) index: usize,
    /// All fields are members of one oneof: the last that is set counts, defaults included.
    pub(super) is_oneof: bool,
    /// Fields by number, from 1 on, gapless.
    pub(super) fields: &'static [(&'static str, ValueKind)],
}

impl Shape {
    /// The kind of a field, if the number is in the schema.
    #[inline]
    pub(super) fn kind(&self, number: u32) -> Option<ValueKind> {
        self.fields.get((number as usize).wrapping_sub(1)).map(|(_, kind)| *kind)
    }

    /// The number of a field by its name.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        (1_u32..).zip(self.fields).find(|(_, (own, _))| *own == name).map(|(number, _)| number)
    }
}

/// How many shapes there are.
pub(super) const SHAPES: usize = 17;

macro_rules! shapes {
    ($($index:literal $ident:ident $name:literal $oneof:literal [$(($field:literal, $kind:expr)),* $(,)?])*) => {
        $(pub(super) static $ident: Shape = Shape {
            name: $name,
            index: $index,
            is_oneof: $oneof,
            fields: &[$(($field, $kind)),*],
        };)*
        /// Every shape, by its index.
        #[cfg(test)]
        pub(super) static ALL: [&Shape; SHAPES] = [$(&$ident),*];
    };
}

use ValueKind::{Bool, Enum, Fixed64, Integer, Map, Message, Messages, Text, Texts};

shapes! {
    0 AGENT_DESCRIPTION "AgentDescription" false [
        ("identifying_attributes", Messages(&KEY_VALUE)),
        ("non_identifying_attributes", Messages(&KEY_VALUE)),
    ]
    1 KEY_VALUE "KeyValue" false [("key", Text), ("value", Message(&ANY_VALUE))]
    2 ANY_VALUE "AnyValue" true [
        ("string_value", Text),
        ("bool_value", Bool),
        ("int_value", Integer),
        ("double_value", Fixed64),
        ("array_value", Message(&ARRAY_VALUE)),
        ("kvlist_value", Message(&KEY_VALUE_LIST)),
        ("bytes_value", Text),
    ]
    3 ARRAY_VALUE "ArrayValue" false [("values", Messages(&ANY_VALUE))]
    // A repeated field, whose order is content, unlike a map's.
    4 KEY_VALUE_LIST "KeyValueList" false [("values", Messages(&KEY_VALUE))]
    5 COMPONENT_HEALTH "ComponentHealth" false [
        ("healthy", Bool),
        ("start_time_unix_nano", Fixed64),
        ("last_error", Text),
        ("status", Text),
        ("status_time_unix_nano", Fixed64),
        ("component_health_map", Map(&COMPONENT_HEALTH)),
        ("attributes", Messages(&KEY_VALUE)),
    ]
    6 EFFECTIVE_CONFIG "EffectiveConfig" false [("config_map", Message(&AGENT_CONFIG_MAP))]
    7 AGENT_CONFIG_MAP "AgentConfigMap" false [("config_map", Map(&AGENT_CONFIG_FILE))]
    8 AGENT_CONFIG_FILE "AgentConfigFile" false [("body", Text), ("content_type", Text)]
    9 REMOTE_CONFIG_STATUS "RemoteConfigStatus" false [
        ("last_remote_config_hash", Text),
        ("status", Enum),
        ("error_message", Text),
    ]
    10 PACKAGE_STATUSES "PackageStatuses" false [
        ("packages", Map(&PACKAGE_STATUS)),
        ("server_provided_all_packages_hash", Text),
        ("error_message", Text),
    ]
    11 PACKAGE_STATUS "PackageStatus" false [
        ("name", Text),
        ("agent_has_version", Text),
        ("agent_has_hash", Text),
        ("server_offered_version", Text),
        ("server_offered_hash", Text),
        ("status", Enum),
        ("error_message", Text),
        ("download_details", Message(&PACKAGE_DOWNLOAD_DETAILS)),
    ]
    12 PACKAGE_DOWNLOAD_DETAILS "PackageDownloadDetails" false [
        ("download_percent", Fixed64),
        ("download_bytes_per_second", Fixed64),
    ]
    13 CUSTOM_CAPABILITIES "CustomCapabilities" false [("capabilities", Texts)]
    14 AVAILABLE_COMPONENTS "AvailableComponents" false [
        ("components", Map(&COMPONENT_DETAILS)),
        ("hash", Text),
    ]
    15 COMPONENT_DETAILS "ComponentDetails" false [
        ("metadata", Messages(&KEY_VALUE)),
        ("sub_component_map", Map(&COMPONENT_DETAILS)),
    ]
    16 CONNECTION_SETTINGS_STATUS "ConnectionSettingsStatus" false [
        ("last_connection_settings_hash", Text),
        ("status", Enum),
        ("error_message", Text),
    ]
}

/// `AvailableComponents.components`.
pub(super) const COMPONENTS: u32 = 1;
/// `AvailableComponents.hash`.
pub(super) const COMPONENTS_HASH: u32 = 2;

/// The status fields of AgentToServer by number and name.
pub(super) static STATUS: [(u32, &str, &Shape); 8] = [
    (agent_field::AGENT_DESCRIPTION, "agent_description", &AGENT_DESCRIPTION),
    (agent_field::HEALTH, "health", &COMPONENT_HEALTH),
    (agent_field::EFFECTIVE_CONFIG, "effective_config", &EFFECTIVE_CONFIG),
    (agent_field::REMOTE_CONFIG_STATUS, "remote_config_status", &REMOTE_CONFIG_STATUS),
    (agent_field::PACKAGE_STATUSES, "package_statuses", &PACKAGE_STATUSES),
    (agent_field::CUSTOM_CAPABILITIES, "custom_capabilities", &CUSTOM_CAPABILITIES),
    (agent_field::AVAILABLE_COMPONENTS, "available_components", &AVAILABLE_COMPONENTS),
    (
        agent_field::CONNECTION_SETTINGS_STATUS,
        "connection_settings_status",
        &CONNECTION_SETTINGS_STATUS,
    ),
];

/// The message that a status field of AgentToServer holds, if the number is one.
#[inline]
pub(super) fn status_shape(number: u32) -> Option<&'static Shape> {
    STATUS.iter().find(|(own, _, _)| *own == number).map(|(_, _, shape)| *shape)
}
