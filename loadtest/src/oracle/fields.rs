//! The status fields of a report, and the shape in which they are cut out of one.
//!
//! The cut is made by prost, so that a mistake of the gateway's own scan shows here.

use bytes::Bytes;

/// A field of `AgentToServer` that describes the agent and that servers store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusField {
    AgentDescription,
    Health,
    EffectiveConfig,
    RemoteConfigStatus,
    PackageStatuses,
    CustomCapabilities,
    AvailableComponents,
    ConnectionSettingsStatus,
}

impl StatusField {
    /// How many there are.
    pub(crate) const COUNT: usize = 8;

    /// All of them, in the order of their indices.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::AgentDescription,
        Self::Health,
        Self::EffectiveConfig,
        Self::RemoteConfigStatus,
        Self::PackageStatuses,
        Self::CustomCapabilities,
        Self::AvailableComponents,
        Self::ConnectionSettingsStatus,
    ];

    /// The place in an array of fields.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The field's name in the specification.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AgentDescription => "agent_description",
            Self::Health => "health",
            Self::EffectiveConfig => "effective_config",
            Self::RemoteConfigStatus => "remote_config_status",
            Self::PackageStatuses => "package_statuses",
            Self::CustomCapabilities => "custom_capabilities",
            Self::AvailableComponents => "available_components",
            Self::ConnectionSettingsStatus => "connection_settings_status",
        }
    }

    /// The bit of `AgentCapabilities` that promises the field; 0 where every agent sends it, and
    /// `None` where it comes unpromised.
    pub(crate) const fn promised_by(self) -> Option<u64> {
        match self {
            Self::AgentDescription => Some(0),
            Self::Health => Some(0x800),
            Self::EffectiveConfig => Some(0x4),
            Self::RemoteConfigStatus => Some(0x1000),
            Self::PackageStatuses => Some(0x10),
            Self::AvailableComponents => Some(0x4000),
            // Only after an offer has been made.
            Self::ConnectionSettingsStatus | Self::CustomCapabilities => None,
        }
    }
}

/// `AgentToServer` with its fields left as bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReportShape {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) instance_uid: Bytes,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence_num: u64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) agent_description: Option<Bytes>,
    #[prost(uint64, tag = "4")]
    pub(crate) capabilities: u64,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(crate) health: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(crate) effective_config: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(crate) remote_config_status: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub(crate) package_statuses: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(crate) agent_disconnect: Option<Bytes>,
    #[prost(uint64, tag = "10")]
    pub(crate) flags: u64,
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub(crate) custom_capabilities: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub(crate) custom_message: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "14")]
    pub(crate) available_components: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub(crate) connection_settings_status: Option<Bytes>,
}

impl ReportShape {
    /// The status fields, by index.
    pub(crate) fn status_fields(&self) -> [Option<&Bytes>; StatusField::COUNT] {
        [
            self.agent_description.as_ref(),
            self.health.as_ref(),
            self.effective_config.as_ref(),
            self.remote_config_status.as_ref(),
            self.package_statuses.as_ref(),
            self.custom_capabilities.as_ref(),
            self.available_components.as_ref(),
            self.connection_settings_status.as_ref(),
        ]
    }

    /// Whether it is a full state as opamp-go sends it: health comes only if it has changed.
    pub(crate) fn is_full_state(&self) -> bool {
        self.agent_description.is_some() && self.effective_config.is_some()
    }

    /// Whether every field that the capabilities promise is there.
    pub(crate) fn is_full(&self) -> bool {
        StatusField::ALL.iter().zip(self.status_fields()).all(|(field, bytes)| {
            bytes.is_some()
                || field.promised_by().is_none_or(|bit| bit != 0 && self.capabilities & bit == 0)
        })
    }
}
