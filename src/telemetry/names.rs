//! The table of all metrics: one entry makes the name, the help text, the handle and the line in
//! docs/METRICS.md. Names are `seawall_<noun>_<unit>[_total]`; labels are closed sets, except
//! `server`, which the configuration bounds.

use metrics::{Counter, Gauge};

use super::description::Description;
#[cfg(test)]
use super::documented::{Documented, LabelValues, MetricKind};
use super::exporter::{Registrar, register};
use super::handles::{Family, GaugeFamily, Grid, Handle, HistogramFamily};
use super::histogram::{Histogram, Waits};
use super::labels::cluster::{FrameRefusal, NodeAcceptResult, NodeDialResult};
use super::labels::edge::{
    AcceptError, CloseReason, MessageFault, RefuseReason, SendKind, SharedAgentEnd, Transport,
};
use super::labels::fleet::{
    HandOverResult, ShardStep, StandingLabel, StoreCallKind, StoreCallResult,
};
use super::labels::fronts::HomeFrame;
use super::labels::homes::{AttachmentEvent, FrameOutcome, PassOutcome};
use super::labels::sessions::{HeartbeatRoute, SessionState};
use super::labels::upstream::DialResult;
use crate::core::admission::{Limit, Outcome};
use crate::core::drain::DrainPhase;
use crate::core::http_mode::PostResult;
use crate::core::link::LossReason;
use crate::core::node_link::{CloseOrder, NodeMessageKind};
use crate::core::ownership::HoldReason;
use crate::core::pacing::Class;
use crate::core::peer_link::LinkEnd;
use crate::core::rebalance::RebalanceEnd;
use crate::core::server::Blame;
use crate::core::session::{CustomLoss, EndReason, OfferLoss, Replier};
use crate::opamp::server::ErrorKind;

macro_rules! table {
    (
        $( $(#[$outer:meta])* struct $set:ident $common:tt {
            $( #[doc = $help:literal] $field:ident: $handle:ty = $variant:ident $name:literal, )+
        } )+
    ) => {
        /// Every metric there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Metric { $($( #[doc = $help] $variant, )+)+ }

        impl Metric {
            const fn name(self) -> &'static str {
                match self { $($( Self::$variant => $name, )+)+ }
            }

            fn help(self) -> &'static str {
                match self { $($( Self::$variant => $help.trim_ascii(), )+)+ }
            }

            /// The name in the exposition, and the meaning in one sentence.
            pub(super) fn description(self) -> Description {
                Description { name: self.name(), help: self.help() }
            }
        }

        #[cfg(test)]
        impl Metric {
            /// All of them, in the order of the table.
            pub(super) const ALL: &'static [Self] = &[$($( Self::$variant, )+)+];

            /// Counter, gauge or histogram.
            pub(super) const fn kind(self) -> MetricKind {
                match self { $($( Self::$variant => <$handle as Documented>::KIND, )+)+ }
            }

            /// The labels' keys and values; the list of values is empty where the configuration names them.
            pub(super) fn labels(self) -> Vec<LabelValues> {
                let (common, own): (&[&'static str], _) = match self {
                    $($( Self::$variant => (&$common, <$handle as Documented>::labels()), )+)+
                };
                common.iter().map(|key| (*key, Vec::new())).chain(own).collect()
            }
        }

        $( $(#[$outer])* pub(crate) struct $set {
            $( #[doc = $help] pub $field: $handle, )+
        }

        impl $set {
            fn register(registrar: &Registrar<'_>) -> Self {
                Self { $( $field: Handle::register(registrar, Metric::$variant.description()), )+ }
            }
        } )+
    };
}

impl Metrics {
    /// Every handle of the process; `registry` makes them once.
    pub(super) fn new() -> Self {
        register(None, Self::register)
    }
}

impl ServerMetrics {
    /// The handles of one server, by its name in the configuration. Made once for each server:
    /// a lookup by name is too slow for the data path.
    pub(crate) fn new(server: &str) -> Self {
        register(Some(("server", server)), Self::register)
    }
}

table! {
/// The handles of all metrics but those of one server.
struct Metrics [] {
    /// Connections accepted from agents.
    connections_accepted: Counter = ConnectionsAccepted "seawall_edge_accepted_connections_total",
    /// Connections of agents now open.
    connections_open: Gauge = ConnectionsOpen "seawall_edge_open_connections",
    /// WebSockets now open that have brought several agents.
    shared_connections: Gauge = SharedConnections "seawall_edge_shared_connections",
    /// Agents that left a WebSocket which others use, by why.
    shared_agents_ended: Family<SharedAgentEnd> = SharedAgentsEnded "seawall_edge_shared_agents_ended_total",
    /// Connections of agents that may be open at one time.
    connections_max: Gauge = ConnectionsMax "seawall_edge_connections_max",
    /// Agents that may be connected at one time; the other connections are reserved for refusals.
    agents_max: Gauge = AgentsMax "seawall_edge_agents_max",
    /// 1 for the limit by which the node has no room for another agent, else 0.
    full: GaugeFamily<Limit> = Full "seawall_full",
    /// Times that the node had no room left, by the limit that was reached.
    times_full: Family<Limit> = TimesFull "seawall_times_full_total",
    /// Connections upgraded to WebSocket.
    connections_upgraded: Counter = ConnectionsUpgraded "seawall_edge_upgraded_connections_total",
    /// Connections closed, by why.
    connections_closed: Family<CloseReason> = ConnectionsClosed "seawall_edge_closed_connections_total",
    /// Failures to accept a connection.
    accept_errors: Family<AcceptError> = AcceptErrors "seawall_edge_accept_errors_total",
    /// Requests (upgrades and POSTs) that were refused, by why.
    requests_refused: Family<RefuseReason> = RequestsRefused "seawall_edge_refused_requests_total",
    /// Messages received from agents.
    messages_received: Family<Transport> = MessagesReceived "seawall_edge_received_messages_total",
    /// Bytes of messages received from agents, after decompression.
    bytes_received: Counter = BytesReceived "seawall_edge_received_bytes_total",
    /// Messages sent to agents.
    messages_sent: Family<SendKind> = MessagesSent "seawall_edge_sent_messages_total",
    /// Bytes of messages sent to agents, before compression.
    bytes_sent: Counter = BytesSent "seawall_edge_sent_bytes_total",
    /// Messages from agents that were rejected, by what is wrong with them.
    messages_rejected: Family<MessageFault> = MessagesRejected "seawall_edge_rejected_messages_total",
    /// WebSocket pings sent to silent agents.
    pings_sent: Counter = PingsSent "seawall_edge_sent_pings_total",
    /// Bytes held of messages that are still arriving.
    buffered_bytes: Gauge = BufferedBytes "seawall_edge_buffered_bytes",
    /// How many there may be.
    buffered_bytes_max: Gauge = BufferedBytesMax "seawall_edge_buffered_bytes_max",
    /// 1 while memory is nearly used up and each listening socket accepts ten connections a second, else 0.
    memory_pressure: Gauge = MemoryPressure "seawall_edge_memory_pressure",
    /// How long tasks that were due waited for a CPU.
    scheduling_delay: Histogram = SchedulingDelay "seawall_scheduling_delay_seconds",
    /// Lines of the log that were lost: its disk is full, or its reader has gone or is too slow.
    log_lines_lost: Counter = LogLinesLost "seawall_lost_log_lines_total",
    /// Tasks that ended by a fault of Seawall's own; the log names each.
    panics: Counter = Panics "seawall_panics_total",

    /// Admission decisions: one for each accepted connection, and one for each agent without a session that comes on another's.
    admission_outcomes: Family<Outcome> = AdmissionOutcomes "seawall_admission_outcomes_total",
    /// Connections a second that admission allows.
    admission_rate: Gauge = AdmissionRate "seawall_admission_rate",
    /// Connections that wait for admission, unanswered.
    admission_parked: Gauge = AdmissionParked "seawall_admission_parked",
    /// How long connections were parked before they were admitted or refused, or left.
    admission_parked_seconds: Histogram<Waits> = AdmissionParkedSeconds "seawall_admission_parked_seconds",
    /// Refusals that wait to be sent, which slows down agents that ignore Retry-After.
    admission_held: Gauge = AdmissionHeld "seawall_admission_held",
    /// Agents known (or in fleet_size) that have no connection now; NaN while that is unknown.
    admission_disconnected: Gauge = AdmissionDisconnected "seawall_admission_disconnected",
    /// Seconds until the last disconnected agent is admitted, as estimated; NaN while that is unknown.
    admission_last_in: Gauge = AdmissionLastIn "seawall_admission_last_in_seconds",
    /// Sources (addresses, credentials) whose arrivals are counted for fairness.
    admission_sources: Gauge = AdmissionSources "seawall_admission_sources",
    /// Storms that have begun: many dials within a second, or agents that wait for long or are told to come again.
    storms: Counter = Storms "seawall_storms_total",
    /// 1 while a storm is under way, else 0.
    storm_under_way: Gauge = StormUnderWay "seawall_storm_under_way",
    /// Dials in storms that are over.
    storm_dials: Counter = StormDials "seawall_storm_dials_total",
    /// Dials in them that were told to come again.
    storm_refusals: Counter = StormRefusals "seawall_storm_refusals_total",
    /// When the last storm was over, in seconds since 1970; 0 before the first.
    last_storm_end: Gauge = LastStormEnd "seawall_last_storm_end_timestamp_seconds",
    /// How long the last storm took.
    last_storm_seconds: Gauge = LastStormSeconds "seawall_last_storm_seconds",
    /// Dials in the last storm.
    last_storm_dials: Gauge = LastStormDials "seawall_last_storm_dials",
    /// Those of them that were told to come again.
    last_storm_refusals: Gauge = LastStormRefusals "seawall_last_storm_refusals",
    /// The longest time for which an agent was parked in the last storm, or after which it was told to come again.
    last_storm_wait: Gauge = LastStormWait "seawall_last_storm_longest_wait_seconds",

    /// Sessions in the table; on a node of a fleet these are of agents that are at home here, wherever they are connected.
    sessions: GaugeFamily<SessionState> = Sessions "seawall_sessions",
    /// Sessions that there may be.
    sessions_max: Gauge = SessionsMax "seawall_sessions_max",
    /// Sessions created for agents that were unknown here.
    sessions_opened: Counter = SessionsOpened "seawall_opened_sessions_total",
    /// Sessions whose agent came back within its grace period.
    sessions_resumed: Counter = SessionsResumed "seawall_resumed_sessions_total",
    /// Sessions ended, by why.
    sessions_ended: Family<EndReason> = SessionsEnded "seawall_ended_sessions_total",
    /// Agents refused because the table of sessions is full.
    sessions_refused: Counter = SessionsRefused "seawall_refused_sessions_total",
    /// Connections replaced by a newer one of the same agent.
    connections_replaced: Counter = ConnectionsReplaced "seawall_replaced_connections_total",
    /// Agents' reports sent on to a server, heartbeats apart.
    reports_forwarded: Counter = ReportsForwarded "seawall_forwarded_reports_total",
    /// Reports that held only what the server has already, and were answered here.
    reports_suppressed: Counter = ReportsSuppressed "seawall_suppressed_reports_total",
    /// Bytes of those reports.
    bytes_suppressed: Counter = BytesSuppressed "seawall_suppressed_bytes_total",
    /// Heartbeats of agents, by what became of them.
    heartbeats: Family<HeartbeatRoute> = Heartbeats "seawall_heartbeats_total",
    /// Replies given to agents, by who wrote them.
    replies: Family<Replier> = Replies "seawall_replies_total",
    /// Time from an agent's message to its reply, by who wrote it.
    reply_seconds: HistogramFamily<Replier> = ReplySeconds "seawall_reply_seconds",
    /// Servers' late empty acknowledgements that were dropped: the agent had its reply.
    acknowledgements_swallowed: Counter = AcknowledgementsSwallowed "seawall_swallowed_acknowledgements_total",
    /// Gaps in agents' sequence numbers: messages lost on the way here.
    gaps: Counter = Gaps "seawall_sequence_gaps_total",
    /// Losses between agents' fronts and this node: each of these agents is asked for its full state.
    messages_missed: Counter = MessagesMissed "seawall_missed_messages_total",
    /// What fronts said of agents to this node as their home, by what became of it.
    front_frames: Family<FrameOutcome> = FrontFrames "seawall_front_frames_total",
    /// Agents' connections to their sessions here, by what became of them; shards that leave take theirs along uncounted.
    attachments: Family<AttachmentEvent> = Attachments "seawall_home_attachments_total",
    /// Servers' messages for agents whose home has changed, by what became of them.
    passed_on: Family<PassOutcome> = PassedOn "seawall_passed_on_messages_total",
    /// Sessions that came here with their shard from its former home.
    sessions_received: Counter = SessionsReceived "seawall_received_sessions_total",
    /// Sessions sent to the new homes of their shards.
    sessions_sent: Counter = SessionsSent "seawall_sent_sessions_total",
    /// Bytes of stored contents sent with them.
    content_bytes_sent: Counter = ContentBytesSent "seawall_sent_content_bytes_total",
    /// Shards that stayed at their home because their sessions would have taken too much room here.
    arrivals_void: Counter = ArrivalsVoid "seawall_void_arrivals_total",
    /// Sessions that left this node with their shard.
    sessions_released: Counter = SessionsReleased "seawall_released_sessions_total",
    /// Full states that servers asked for.
    full_states_wanted: Counter = FullStatesWanted "seawall_wanted_full_states_total",
    /// Full states that Seawall asked of agents, because it lacked them, or a server that was content asked.
    full_states_asked: Counter = FullStatesAsked "seawall_asked_full_states_total",
    /// Reports of agents' state that went to a server from the content store.
    store_reports: Counter = StoreReports "seawall_store_reports_total",
    /// Bytes of those reports.
    store_report_bytes: Counter = StoreReportBytes "seawall_store_report_bytes_total",
    /// Reports from the store that lacked a part that had been evicted: the agent is asked.
    store_reports_incomplete: Counter = StoreReportsIncomplete "seawall_store_incomplete_reports_total",
    /// Bytes of contents in the store, small ones compressed.
    store_bytes: Gauge = StoreBytes "seawall_store_bytes",
    /// All memory of the store: contents, their index and their counts.
    store_memory: Gauge = StoreMemory "seawall_store_memory_bytes",
    /// Contents that agents use, each counted once.
    store_entries: Gauge = StoreEntries "seawall_store_entries",
    /// Entries whose bytes were evicted.
    store_entries_evicted: Gauge = StoreEntriesEvicted "seawall_store_evicted_entries",
    /// Uses of contents by agents; divided by the entries, how well contents are shared.
    store_handles: Gauge = StoreHandles "seawall_store_handles",
    /// Reported contents that the store had already.
    store_shared: Counter = StoreShared "seawall_store_shared_total",
    /// Reported contents that were new to the store.
    store_stored: Counter = StoreStored "seawall_store_stored_total",
    /// Contents whose bytes were evicted for others.
    store_evictions: Counter = StoreEvictions "seawall_store_evictions_total",
    /// Contents that were larger than the room left for them.
    store_refusals: Counter = StoreRefusals "seawall_store_refusals_total",
    /// Reads of contents whose bytes were gone.
    store_misses: Counter = StoreMisses "seawall_store_misses_total",
    /// Offers stored for agents that were absent or polling.
    offers_stored: Counter = OffersStored "seawall_stored_offers_total",
    /// Connections that ended before the agent had confirmed what was offered: the offers wait once more.
    offers_taken_back: Counter = OffersTakenBack "seawall_unconfirmed_offers_total",
    /// Offers dropped before they reached their agent, by why.
    offers_dropped: Family<OfferLoss> = OffersDropped "seawall_dropped_offers_total",
    /// Custom messages dropped before they reached their agent or server, by why.
    custom_messages_dropped: Family<CustomLoss> = CustomMessagesDropped "seawall_dropped_custom_messages_total",
    /// Bytes waiting for agents to read them.
    outbox_bytes: Gauge = OutboxBytes "seawall_outbox_bytes",
    /// How many there may be.
    outbox_bytes_max: Gauge = OutboxBytesMax "seawall_outbox_bytes_max",

    /// Agents whose connection ends at this node of a fleet, wherever their sessions are; 0 on a node that is alone.
    front_agents: Gauge = FrontAgents "seawall_front_agents",
    /// Bytes of what agents said, held until their homes have it.
    front_held_bytes: Gauge = FrontHeldBytes "seawall_front_held_bytes",
    /// What homes said to connections of this front, by what it was.
    home_frames: Family<HomeFrame> = HomeFrames "seawall_front_received_frames_total",
    /// Connections that homes ordered this front to close, by why.
    front_closes: Family<CloseOrder> = FrontCloses "seawall_front_ordered_closes_total",
    /// Pings sent to agents whose uid another connection claims.
    front_pings: Counter = FrontPings "seawall_front_sent_pings_total",

    /// Node links now up.
    node_links: Gauge = NodeLinks "seawall_cluster_links",
    /// Dials of other nodes, by how they ended.
    node_dials: Family<NodeDialResult> = NodeDials "seawall_cluster_dials_total",
    /// Connections that other nodes dialled, by how they ended.
    node_accepts: Family<NodeAcceptResult> = NodeAccepts "seawall_cluster_accepts_total",
    /// Node links lost, by why.
    node_links_lost: Family<LinkEnd> = NodeLinksLost "seawall_cluster_lost_links_total",
    /// Frames sent to other nodes.
    node_frames_sent: Counter = NodeFramesSent "seawall_cluster_sent_frames_total",
    /// Bytes of those frames.
    node_bytes_sent: Counter = NodeBytesSent "seawall_cluster_sent_bytes_total",
    /// Frames received from other nodes.
    node_frames_received: Counter = NodeFramesReceived "seawall_cluster_received_frames_total",
    /// Bytes of those frames.
    node_bytes_received: Counter = NodeBytesReceived "seawall_cluster_received_bytes_total",
    /// Messages for other nodes that node links have taken, by what they are; frames are how they travel.
    node_messages_sent: Family<NodeMessageKind> = NodeMessagesSent "seawall_cluster_sent_messages_total",
    /// Bytes of those messages.
    node_message_bytes_sent: Family<NodeMessageKind> = NodeMessageBytesSent "seawall_cluster_sent_message_bytes_total",
    /// Messages received from other nodes, by what they are.
    node_messages_received: Family<NodeMessageKind> = NodeMessagesReceived "seawall_cluster_received_messages_total",
    /// Bytes of those messages.
    node_message_bytes_received: Family<NodeMessageKind> = NodeMessageBytesReceived "seawall_cluster_received_message_bytes_total",
    /// From a sign of life that is asked of another node, once a second, to its answer.
    node_round_trip: Histogram = NodeRoundTrip "seawall_cluster_round_trip_seconds",
    /// Frames that a node link refused, by why; their sender sends them again or waits.
    node_frames_refused: Family<FrameRefusal> = NodeFramesRefused "seawall_cluster_refused_frames_total",
    /// Frames that still waited when their node link was lost; their sender sends them again.
    node_frames_dropped: Counter = NodeFramesDropped "seawall_cluster_dropped_frames_total",

    /// 1 for the right by which this node speaks to servers, or for why it holds still, else 0.
    standing: GaugeFamily<StandingLabel> = StandingGauge "seawall_ownership_standing",
    /// Seconds for which this node has held still towards servers since it started, by why.
    held_still: Family<HoldReason> = HeldStill "seawall_ownership_held_still_seconds_total",
    /// Calls to the store that nodes share, by what they were for and how they ended.
    shared_store_calls: Grid<StoreCallKind, StoreCallResult> = SharedStoreCalls "seawall_ownership_store_calls_total",
    /// How long the store took to answer.
    shared_store_seconds: Histogram = SharedStoreSeconds "seawall_ownership_store_call_seconds",
    /// The version of membership and map that this node goes by.
    map_version: Gauge = MapVersionGauge "seawall_ownership_map_version",
    /// Members of the fleet, as this node knows them.
    fleet_members: Gauge = FleetMembers "seawall_ownership_members",
    /// Shards that are at home at this node.
    shards_held: Gauge = ShardsHeld "seawall_ownership_held_shards",
    /// Shards that are at home nowhere, as this node knows them.
    shards_vacant: Gauge = ShardsVacant "seawall_ownership_vacant_shards",
    /// What happened to shards at this node.
    shard_steps: Family<ShardStep> = ShardSteps "seawall_ownership_shard_steps_total",
    /// Hand-overs of shards from or to this node, by how they ended.
    hand_overs: Family<HandOverResult> = HandOvers "seawall_ownership_hand_overs_total",
    /// How long shards were frozen here to be handed over, whether they went or stayed.
    hand_over_seconds: Histogram<Waits> = HandOverSeconds "seawall_ownership_hand_over_seconds",
    /// Times that this node was taken over and began anew.
    new_incarnations: Counter = NewIncarnations "seawall_ownership_new_incarnations_total",
    /// Live nodes whose settings differ from this one's where they must agree.
    settings_differ: Gauge = SettingsDiffer "seawall_ownership_differing_nodes",
    /// Messages of other nodes that this one could not read.
    node_messages_malformed: Counter = NodeMessagesMalformed "seawall_ownership_malformed_messages_total",

    /// 1 for the phase that a drain is in, else 0.
    drain_phase: GaugeFamily<DrainPhase> = DrainPhase "seawall_drain_phase",
    /// Agents disconnected by a drain with messages their server had not acknowledged.
    drain_unacknowledged: Counter = DrainUnacknowledged "seawall_drain_unacknowledged_agents_total",
    /// Agents' connections that a drain is still to close.
    drain_left: Gauge = DrainLeft "seawall_drain_left_connections",

    /// 1 while connections are closed for other nodes to take, else 0.
    rebalance_shedding: Gauge = RebalanceShedding "seawall_rebalance_shedding",
    /// Agents' connections closed for other nodes to take.
    rebalance_closed: Counter = RebalanceClosed "seawall_rebalance_closed_connections_total",
    /// Times that a node closed no more of them, by why.
    rebalance_ends: Family<RebalanceEnd> = RebalanceEnds "seawall_rebalance_ends_total",
}

/// The handles of one server.
struct ServerMetrics ["server"] {
    /// Dials, by how they ended.
    dials: Family<DialResult> = Dials "seawall_upstream_dials_total",
    /// Links now up.
    links: Gauge = Links "seawall_upstream_links",
    /// Links that there may be; NaN where each agent has its own.
    links_max: Gauge = LinksMax "seawall_upstream_links_max",
    /// Links lost, by why.
    links_lost: Family<LossReason> = LinksLost "seawall_upstream_lost_links_total",
    /// 1 while agents are sent to this server, else 0.
    healthy: Gauge = Healthy "seawall_upstream_healthy_servers",
    /// Messages sent to the server.
    messages_sent: Counter = UpstreamMessagesSent "seawall_upstream_sent_messages_total",
    /// Bytes of messages sent to the server.
    bytes_sent: Counter = UpstreamBytesSent "seawall_upstream_sent_bytes_total",
    /// Messages received from the server.
    messages_received: Counter = UpstreamMessagesReceived "seawall_upstream_received_messages_total",
    /// Bytes of messages received from the server.
    bytes_received: Counter = UpstreamBytesReceived "seawall_upstream_received_bytes_total",
    /// Bytes waiting to be written to the server.
    queue_bytes: Gauge = QueueBytes "seawall_upstream_queue_bytes",
    /// Messages held back because the link's queue was full; what they said is sent later.
    queue_refusals: Counter = QueueRefusals "seawall_upstream_queue_refusals_total",
    /// Messages that still waited on links when Seawall stopped or was drained, and were dropped.
    undelivered: Counter = Undelivered "seawall_upstream_undelivered_messages_total",
    /// Messages from the server that are malformed, or whose instance uid is.
    messages_malformed: Counter = UpstreamMessagesMalformed "seawall_upstream_malformed_messages_total",
    /// Messages from the server that were over `upstream.message_bytes_max`, and so were dropped.
    messages_passed_over: Counter = UpstreamMessagesPassedOver "seawall_upstream_oversized_messages_total",
    /// Messages that lack an instance uid on a shared link, so that their agent is unknown.
    pushes_anonymous: Counter = PushesAnonymous "seawall_upstream_anonymous_pushes_total",
    /// Messages for agents that are unknown here.
    pushes_unroutable: Counter = PushesUnroutable "seawall_upstream_unroutable_pushes_total",
    /// POSTs (`http` mode) that failed, by what came instead of a message.
    posts_failed: Family<PostResult> = PostsFailed "seawall_upstream_failed_posts_total",
    /// Times the server rejected all that was sent (`http` mode) and so counted as down, by whom to blame.
    unusable: Family<Blame> = Unusable "seawall_upstream_unusable_total",
    /// Polls on behalf of agents (`http` mode) that came due.
    polls: Counter = Polls "seawall_upstream_polls_total",
    /// Error responses from the server.
    server_errors: Family<ErrorKind> = ServerErrors "seawall_upstream_server_errors_total",
    /// Sessions that wait for a permit to send to the server, by what they have to say. Those of class `liveness` have nothing new: they wait for `liveness_budget`.
    resync_sessions: GaugeFamily<Class> = ResyncSessions "seawall_upstream_resync_sessions",
    /// Messages sent to the server that it is yet to answer.
    in_flight: Gauge = InFlight "seawall_upstream_in_flight_messages",
    /// How many messages may be in flight, set by what the server gets done.
    window: Gauge = Window "seawall_upstream_window_messages",
    /// Messages sent in the last second.
    pace: Gauge = Pace "seawall_upstream_pace_messages_per_second",
    /// How often the server hears of each agent that is alive, in seconds, while `liveness_budget` is too small for all that they say; else 0.
    liveness_interval: Gauge = LivenessInterval "seawall_upstream_liveness_interval_seconds",
    /// Seconds left of the pause that the server asked for, else 0.
    pause_seconds: Gauge = PauseSeconds "seawall_upstream_pause_seconds",
    /// Announces sent: an agent introduced by uid, number and capabilities alone.
    announces: Counter = Announces "seawall_upstream_announces_total",
    /// Pauses that the server asked for.
    pauses: Counter = Pauses "seawall_upstream_pauses_total",
    /// Agents that go on over links of their own, because their messages may have ended a link that others share.
    set_apart: Counter = SetApart "seawall_upstream_set_apart_agents_total",
    /// Agents with links of their own for that reason now.
    apart: Gauge = Apart "seawall_upstream_apart_agents",
    /// Parts of agents' messages that are held back, because the server ends the connection on which they come.
    parts_held: Counter = PartsHeld "seawall_upstream_held_parts_total",
    /// Agents for which the server ends each connection.
    agents_denied: Counter = AgentsDenied "seawall_upstream_denied_agents_total",
    /// The smallest message in bytes that the server is known to refuse for its size, else 0.
    size_refused: Gauge = SizeRefused "seawall_upstream_refused_message_bytes",
    /// Sessions moved to another server after `failover_after`, or back after recovery.
    sessions_moved: Counter = SessionsMoved "seawall_upstream_moved_sessions_total",
}
}
