//! Pushes: what the server tells agents unasked. Ordered by `POST /push`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use seawall::clock;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AgentIdentification, AgentRemoteConfig,
    ConnectionSettingsOffers, CustomMessage, OpAmpConnectionSettings, ServerToAgent,
    ServerToAgentCommand,
};
use serde::Deserialize;

use super::reply::{CUSTOM_CAPABILITY, StandIn, encode};
use crate::fleet::to_unix_us;
use crate::stamp::{PUSH_TYPE, PushStamp};

/// The number of a field outside of every specification: pushes of unknown content.
const UNKNOWN_FIELD: u32 = 9000;
/// The largest push.
const SIZE_MAX: usize = 64 << 20;

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PushKind {
    /// A remote configuration of `size` bytes; its hash begins with the uid it is meant for.
    RemoteConfig,
    /// A custom message of `size` bytes, beginning with the uid it is meant for, and a stamp.
    Custom,
    /// A field unknown to all, of `size` bytes.
    Bytes,
    /// Connection settings with a heartbeat interval of `size` seconds.
    HeartbeatInterval,
    /// A new instance uid.
    NewInstanceUid,
    /// The restart command.
    Restart,
}

/// An order to push.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushOrder {
    /// To this agent.
    uid: Option<String>,
    /// To every agent that can be reached.
    #[serde(default)]
    all: bool,
    kind: PushKind,
    #[serde(default)]
    size: usize,
    /// How many for each agent.
    #[serde(default = "one")]
    count: u32,
    /// How many a second, over all agents; 0: as fast as connections take them.
    #[serde(default)]
    rate: u32,
}

const fn one() -> u32 {
    1
}

impl PushOrder {
    /// Reads the body of `POST /push` and finds out whom it concerns.
    ///
    /// # Errors
    /// Says what is wrong with the order.
    pub(crate) fn read(body: &[u8], server: &StandIn) -> Result<(Self, Vec<InstanceUid>), String> {
        let order: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if order.size > SIZE_MAX {
            return Err(format!("size is at most {SIZE_MAX} bytes"));
        }
        let targets = match (&order.uid, order.all) {
            (None, true) => server.store.reachable(),
            (Some(uid), false) => {
                vec![InstanceUid::parse(uid).ok_or_else(|| format!("`{uid}` is not a uid"))?]
            }
            _ => return Err("either `uid` or `\"all\": true` is needed".to_owned()),
        };
        Ok((order, targets))
    }

    /// Carries it out. A connection whose queue is full holds the rest up.
    pub(crate) async fn carry_out(self, server: Arc<StandIn>, targets: Vec<InstanceUid>) {
        let start = clock::now();
        let mut sent = 0u32;
        for _ in 0..self.count {
            for uid in &targets {
                if let Some(offset) = Duration::from_secs(1)
                    .checked_mul(sent)
                    .and_then(|total| total.checked_div(self.rate))
                {
                    tokio::time::sleep_until((start + offset).into()).await;
                }
                self.push(&server, *uid).await;
                sent = sent.saturating_add(1);
            }
        }
    }

    async fn push(&self, server: &StandIn, uid: InstanceUid) {
        let mut message = self.message(uid);
        let hash = message.remote_config.as_ref().map(|config| config.config_hash.clone());
        let Some(route) = server.store.offer(uid, hash.as_deref()) else {
            let waits = self.kind != PushKind::Bytes && server.store.push_later(uid, message);
            let counts = &server.counts;
            let count = if waits { &counts.pushes } else { &counts.pushes_unroutable };
            count.one();
            return;
        };
        if server.faults.current().push_without_uid {
            message.instance_uid.clear();
        }
        let mut bytes = encode(&message);
        if self.kind == PushKind::Bytes {
            bytes = with_unknown_field(&bytes, self.size);
        }
        server.counts.pushes.one();
        if let Err(unsent) = route.outbox.send(bytes).await {
            say_later(server, &unsent.0);
        }
    }

    fn message(&self, uid: InstanceUid) -> ServerToAgent {
        static PUSHES: AtomicU64 = AtomicU64::new(1);
        let number = PUSHES.fetch_add(1, Ordering::Relaxed);
        let wire = uid.to_wire().to_vec();
        let mut message = ServerToAgent { instance_uid: wire.clone(), ..Default::default() };
        match self.kind {
            PushKind::RemoteConfig => {
                let body = vec![b'#'; self.size];
                let file = AgentConfigFile { body, content_type: "text/yaml".to_owned() };
                let config_map = [("collector.yaml".to_owned(), file)].into();
                let config_hash = [&wire[..], &number.to_be_bytes()].concat();
                let config = Some(AgentConfigMap { config_map });
                message.remote_config = Some(AgentRemoteConfig { config, config_hash });
            }
            PushKind::Custom => {
                let data = PushStamp { number, sent_us: to_unix_us(clock::now()) };
                let data = data.write(uid, self.size);
                let capability = CUSTOM_CAPABILITY.to_owned();
                let r#type = PUSH_TYPE.to_owned();
                message.custom_message = Some(CustomMessage { capability, r#type, data });
            }
            PushKind::Bytes => {}
            PushKind::HeartbeatInterval => {
                let opamp = Some(OpAmpConnectionSettings {
                    heartbeat_interval_seconds: self.size as u64,
                    ..Default::default()
                });
                let hash = number.to_be_bytes().to_vec();
                message.connection_settings =
                    Some(ConnectionSettingsOffers { hash, opamp, ..Default::default() });
            }
            PushKind::NewInstanceUid => {
                let new_instance_uid = rand::random::<[u8; 16]>().to_vec();
                message.agent_identification = Some(AgentIdentification { new_instance_uid });
            }
            PushKind::Restart => message.command = Some(ServerToAgentCommand::default()),
        }
        message
    }
}

/// A push that was counted did not get out, since its connection has closed: it waits for the agent's next message.
pub(super) fn say_later(server: &StandIn, unsaid: &[u8]) {
    let Ok(push) = ServerToAgent::decode(unsaid) else { return };
    let uid = InstanceUid::from_wire(&push.instance_uid).ok();
    if !uid.is_some_and(|uid| server.store.push_later(uid, push)) {
        server.counts.pushes_unroutable.one();
    }
}

fn with_unknown_field(message: &Bytes, size: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + size + 16);
    out.put_slice(message);
    prost::encoding::bytes::encode(UNKNOWN_FIELD, &vec![b'x'; size], &mut out);
    out.freeze()
}
