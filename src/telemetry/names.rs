//! The table of all metrics: one entry makes the name, the help text, the handle and the line in
//! docs/METRICS.md. Names are `seawall_<noun>_<unit>[_total]`; labels are closed sets, except
//! `server`, which the configuration bounds.

use metrics::{Counter, Gauge};

use super::description::Description;
#[cfg(test)]
use super::documented::{Documented, LabelValues, MetricKind};
use super::exporter::{Registrar, register};
use super::handles::{Family, GaugeFamily, Handle};
use super::histogram::Histogram;
use super::labels::edge::{
    AcceptError, CloseReason, MessageFault, RefuseReason, SendKind, Transport,
};
use super::labels::sessions::{CustomDrop, HeartbeatRoute, OfferDrop, ReplySource, SessionState};
use super::labels::upstream::DialResult;
use crate::core::admission::Outcome;
use crate::core::drain::DrainPhase;
use crate::core::http_mode::PostResult;
use crate::core::link::LossReason;
use crate::core::pacing::Class;
use crate::core::server::Blame;
use crate::core::session::EndReason;
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

            /// The labels' keys and values; no values where the configuration names them.
            pub(super) fn labels(self) -> Vec<LabelValues> {
                let (common, own): (&[&'static str], _) = match self {
                    $($( Self::$variant => (&$common, <$handle as Documented>::label()), )+)+
                };
                common.iter().map(|key| (*key, Vec::new())).chain(own).collect()
            }
        }

        $( $(#[$outer])* pub struct $set {
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
    /// a lookup by name, not for the data path.
    pub fn new(server: &str) -> Self {
        register(Some(("server", server)), Self::register)
    }
}

table! {
/// The handles of everything that is not about one server.
struct Metrics [] {
    /// Connections accepted from agents.
    connections_accepted: Counter = ConnectionsAccepted "seawall_edge_accepted_connections_total",
    /// Connections of agents now open.
    connections_open: Gauge = ConnectionsOpen "seawall_edge_open_connections",
    /// Connections upgraded to WebSocket.
    connections_upgraded: Counter = ConnectionsUpgraded "seawall_edge_upgraded_connections_total",
    /// Connections closed, by why.
    connections_closed: Family<CloseReason> = ConnectionsClosed "seawall_edge_closed_connections_total",
    /// Failures to accept a connection.
    accept_errors: Family<AcceptError> = AcceptErrors "seawall_edge_accept_errors_total",
    /// Requests (upgrades and POSTs) answered with a refusal.
    requests_refused: Family<RefuseReason> = RequestsRefused "seawall_edge_refused_requests_total",
    /// Messages received from agents.
    messages_received: Family<Transport> = MessagesReceived "seawall_edge_received_messages_total",
    /// Bytes of messages received from agents, after decompression.
    bytes_received: Counter = BytesReceived "seawall_edge_received_bytes_total",
    /// Messages sent to agents.
    messages_sent: Family<SendKind> = MessagesSent "seawall_edge_sent_messages_total",
    /// Bytes of messages sent to agents, before compression.
    bytes_sent: Counter = BytesSent "seawall_edge_sent_bytes_total",
    /// Messages from agents that were not taken, by what is wrong with them.
    messages_rejected: Family<MessageFault> = MessagesRejected "seawall_edge_rejected_messages_total",
    /// WebSocket pings sent to silent agents.
    pings_sent: Counter = PingsSent "seawall_edge_sent_pings_total",
    /// Bytes held of messages that have not wholly arrived.
    buffered_bytes: Gauge = BufferedBytes "seawall_edge_buffered_bytes",
    /// 1 while memory runs out and new connections wait in the kernel's queue, else 0.
    memory_pressure: Gauge = MemoryPressure "seawall_edge_memory_pressure",
    /// How long tasks that were due waited for a processor.
    scheduling_delay: Histogram = SchedulingDelay "seawall_scheduling_delay_seconds",

    /// Accepted connections by how their wish to come in ended; with those that wait or have not asked yet, all accepted.
    admission_outcomes: Family<Outcome> = AdmissionOutcomes "seawall_admission_outcomes_total",
    /// Entries a second that the gate allows.
    admission_rate: Gauge = AdmissionRate "seawall_admission_rate",
    /// Connections that wait for their turn, unanswered.
    admission_parked: Gauge = AdmissionParked "seawall_admission_parked",
    /// How long connections were parked.
    admission_parked_seconds: Histogram = AdmissionParkedSeconds "seawall_admission_parked_seconds",
    /// Refusals held back.
    admission_held: Gauge = AdmissionHeld "seawall_admission_held",
    /// Agents that may be outside; NaN while nobody knows.
    admission_disconnected: Gauge = AdmissionDisconnected "seawall_admission_disconnected",
    /// When the last of them will be in, from now; NaN while nobody knows.
    admission_last_in: Gauge = AdmissionLastIn "seawall_admission_last_in_seconds",
    /// Sources (addresses, credentials) whose arrivals are counted.
    admission_sources: Gauge = AdmissionSources "seawall_admission_sources",

    /// Sessions in the table.
    sessions: GaugeFamily<SessionState> = Sessions "seawall_sessions",
    /// Sessions created for agents not known before.
    sessions_opened: Counter = SessionsOpened "seawall_opened_sessions_total",
    /// Sessions whose agent came back while they lingered.
    sessions_resumed: Counter = SessionsResumed "seawall_resumed_sessions_total",
    /// Sessions ended, by why.
    sessions_ended: Family<EndReason> = SessionsEnded "seawall_ended_sessions_total",
    /// Agents refused because the table of sessions is full.
    sessions_refused: Counter = SessionsRefused "seawall_refused_sessions_total",
    /// Connections replaced by a newer one of the same agent.
    connections_replaced: Counter = ConnectionsReplaced "seawall_replaced_connections_total",
    /// Agents' reports sent on to a server, heartbeats apart.
    reports_forwarded: Counter = ReportsForwarded "seawall_forwarded_reports_total",
    /// Reports that said nothing new to the server, and were answered here.
    reports_suppressed: Counter = ReportsSuppressed "seawall_suppressed_reports_total",
    /// Bytes of those reports.
    bytes_suppressed: Counter = BytesSuppressed "seawall_suppressed_bytes_total",
    /// Heartbeats of agents, by what became of them.
    heartbeats: Family<HeartbeatRoute> = Heartbeats "seawall_heartbeats_total",
    /// Replies given to agents, by who wrote them.
    replies: Family<ReplySource> = Replies "seawall_replies_total",
    /// Time from an agent's message to its reply.
    reply_seconds: Histogram = ReplySeconds "seawall_reply_seconds",
    /// Servers' late empty acknowledgements that were not passed on.
    acknowledgements_swallowed: Counter = AcknowledgementsSwallowed "seawall_swallowed_acknowledgements_total",
    /// Gaps in agents' sequence numbers: messages lost on the way here.
    gaps: Counter = Gaps "seawall_sequence_gaps_total",
    /// Full states that servers asked for.
    full_states_wanted: Counter = FullStatesWanted "seawall_wanted_full_states_total",
    /// Full states asked of agents, because they are not known here.
    full_states_asked: Counter = FullStatesAsked "seawall_asked_full_states_total",
    /// Reports of agents' state that went to a server from the content store.
    store_reports: Counter = StoreReports "seawall_store_reports_total",
    /// Bytes of those reports.
    store_report_bytes: Counter = StoreReportBytes "seawall_store_report_bytes_total",
    /// Those of them that lacked a part which had to go from the store: the agent is asked.
    store_reports_incomplete: Counter = StoreReportsIncomplete "seawall_store_incomplete_reports_total",
    /// Bytes of contents in the store, as they are kept.
    store_bytes: Gauge = StoreBytes "seawall_store_bytes",
    /// All memory of the store: contents as they are kept, and what is kept about them.
    store_memory: Gauge = StoreMemory "seawall_store_memory_bytes",
    /// Contents in the store, each once.
    store_entries: Gauge = StoreEntries "seawall_store_entries",
    /// Of them, those whose bytes had to go.
    store_entries_evicted: Gauge = StoreEntriesEvicted "seawall_store_evicted_entries",
    /// Parts of agents' states that are in the store; divided by the entries, how well they are shared.
    store_handles: Gauge = StoreHandles "seawall_store_handles",
    /// Contents reported that the store had already.
    store_shared: Counter = StoreShared "seawall_store_shared_total",
    /// Contents reported that were new to the store.
    store_stored: Counter = StoreStored "seawall_store_stored_total",
    /// Contents whose bytes had to go for others.
    store_evictions: Counter = StoreEvictions "seawall_store_evictions_total",
    /// Contents for which there was no room at all.
    store_refusals: Counter = StoreRefusals "seawall_store_refusals_total",
    /// Contents wanted whose bytes were not there.
    store_misses: Counter = StoreMisses "seawall_store_misses_total",
    /// Offers kept for agents that could not take them at once.
    offers_stored: Counter = OffersStored "seawall_stored_offers_total",
    /// Offers that will not reach their agent.
    offers_dropped: Family<OfferDrop> = OffersDropped "seawall_dropped_offers_total",
    /// Custom messages that will not reach their agent or server.
    custom_messages_dropped: Family<CustomDrop> = CustomMessagesDropped "seawall_dropped_custom_messages_total",
    /// Bytes waiting for agents to read them.
    outbox_bytes: Gauge = OutboxBytes "seawall_outbox_bytes",

    /// 1 for the phase that a drain is in, else 0.
    drain_phase: GaugeFamily<DrainPhase> = DrainPhase "seawall_drain_phase",
    /// Agents that a drain let go, or was to say goodbye for, before their server had taken and answered everything.
    drain_unacknowledged: Counter = DrainUnacknowledged "seawall_drain_unacknowledged_agents_total",
    /// Agents' connections that a drain has yet to close.
    drain_left: Gauge = DrainLeft "seawall_drain_left_connections",
}

/// The handles of one server.
struct ServerMetrics ["server"] {
    /// Dials, by how they ended.
    dials: Family<DialResult> = Dials "seawall_upstream_dials_total",
    /// Links now up.
    links: Gauge = Links "seawall_upstream_links",
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
    /// Messages not taken because the link's queue was full; what they said is sent later.
    queue_refusals: Counter = QueueRefusals "seawall_upstream_queue_refusals_total",
    /// Messages that still waited on links when Seawall stopped or was drained, and are not sent.
    undelivered: Counter = Undelivered "seawall_upstream_undelivered_messages_total",
    /// Messages from the server that are malformed, or name no valid instance uid.
    messages_malformed: Counter = UpstreamMessagesMalformed "seawall_upstream_malformed_messages_total",
    /// Messages without an instance uid on a shared link, which nobody can route.
    pushes_anonymous: Counter = PushesAnonymous "seawall_upstream_anonymous_pushes_total",
    /// Messages for agents that have no session here.
    pushes_unroutable: Counter = PushesUnroutable "seawall_upstream_unroutable_pushes_total",
    /// POSTs (`http` mode) that were not answered by a message, by what came instead.
    posts_failed: Family<PostResult> = PostsFailed "seawall_upstream_failed_posts_total",
    /// Times the server took nothing of what was sent (`http` mode) and so counted as away, by whom to blame.
    unusable: Family<Blame> = Unusable "seawall_upstream_unusable_total",
    /// Polls on behalf of agents (`http` mode) that came due.
    polls: Counter = Polls "seawall_upstream_polls_total",
    /// Error responses from the server.
    server_errors: Family<ErrorKind> = ServerErrors "seawall_upstream_server_errors_total",
    /// Sessions that wait for their turn at the server, by what they have to say.
    resync_sessions: GaugeFamily<Class> = ResyncSessions "seawall_upstream_resync_sessions",
    /// Messages sent to the server and not answered yet.
    in_flight: Gauge = InFlight "seawall_upstream_in_flight_messages",
    /// How many messages may be in flight, as the server's answer times have it.
    window: Gauge = Window "seawall_upstream_window_messages",
    /// Messages that the pace let through in the last second.
    pace: Gauge = Pace "seawall_upstream_pace_messages_per_second",
    /// Seconds left of the pause that the server asked for; 0 without one.
    pause_seconds: Gauge = PauseSeconds "seawall_upstream_pause_seconds",
    /// Touches sent: an agent introduced by uid, number and capabilities alone.
    announces: Counter = Announces "seawall_upstream_announces_total",
    /// Pauses that the server asked for.
    pauses: Counter = Pauses "seawall_upstream_pauses_total",
    /// Sessions moved away because the server was gone too long, or back again.
    sessions_moved: Counter = SessionsMoved "seawall_upstream_moved_sessions_total",
}
}
