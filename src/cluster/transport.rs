//! How QUIC is set for node links: every bound and every time, with its reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, ClientConfig, ServerConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};

use super::tls::Tls;
use crate::core::peer_link::{Haste, STOPPED_FOR, STREAMS};

/// The peer is asked for a sign of life this long after the last one.
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(1_000);

/// A peer that leaves that unanswered is gone: 3 s after its last sign of life, which is within a third of
/// a lease time (10 s), so that the other nodes' confirmations are missed in time.
pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(2_000);

// A side that was stopped knows it before its peer may have given the link up.
const _: () = assert!(STOPPED_FOR.as_millis() < PING_TIMEOUT.as_millis());

/// QUIC's own rule, for connections that are open and unused: those in use are watched as said above, with
/// regard to a node that was stopped itself. One lease time.
const IDLE_TIMEOUT_MS: u32 = 10_000;

/// Taken for the round trip until one was measured: a lost first packet is sent again after three of these.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// A dial ends after this: three round trips and a packet lost on a slow way.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a decider may take to begin a connection. It may first have to notice that the one before is
/// lost.
pub(super) const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a goodbye may take: what waits is written and read, or dropped.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a frame that can wait for others to go with does so at most, if others are expected ([`Linger`]).
/// [`Haste::Shortly`]: as long as agents take that were admitted in one instant, and an agent's first reply is no more
/// than that later. [`Haste::Soon`]: short beside all that waits for such a frame.
///
/// [`Linger`]: crate::core::peer_link::Linger
pub(super) const fn patience(haste: Haste) -> Duration {
    match haste {
        Haste::Now => Duration::ZERO,
        Haste::Shortly => Duration::from_millis(2),
        Haste::Soon => Duration::from_millis(10),
    }
}

/// The peer acknowledges after this many packets, or this long after the first of them: with the frames that it has to
/// say, as a rule, instead of by packets of their own. Few enough that the smallest congestion window that a link
/// begins with (ten packets) does not run dry meanwhile; after losses the time bounds the wait.
const ACKNOWLEDGED_AFTER_PACKETS: u32 = 8;
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(5);

/// Unread bytes of one stream: 10 ms of 1 Gbit/s, the longest way between two zones that a fleet should
/// span.
const STREAM_WINDOW: u32 = 1_280 << 10;

/// Every stream may fill its window: a stream that is read slowly leaves the others, and control, theirs.
const LINK_WINDOW: u32 = STREAM_WINDOW * STREAMS_U32;

/// There are five.
const STREAMS_U32: u32 = 5;
const _: () = assert!(STREAMS == STREAMS_U32 as usize);

/// Handshakes under way that others began. Each costs memory and half a millisecond; a fleet has tens of
/// nodes.
pub(super) const HANDSHAKES_MAX: usize = 64;

/// First packets of dials that wait to be looked at, and their bytes, each and together.
const INCOMING_MAX: usize = 128;
const INCOMING_BYTES_MAX: u64 = 16 << 10;
const INCOMING_BYTES_MAX_TOTAL: u64 = 1 << 20;

/// Datagrams that the kernel stores while this process is busy: a burst that does not fit is sent again, a
/// round trip later. The system may grant less (`net.core.rmem_max`).
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

fn transport() -> TransportConfig {
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_AFTER_PACKETS))
        .max_ack_delay(Some(ACKNOWLEDGED_AFTER));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_U32))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(LINK_WINDOW))
        .send_window(u64::from(LINK_WINDOW))
        .ack_frequency_config(Some(acknowledgements))
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(Some(PING_INTERVAL));
    transport
}

/// The two halves of an endpoint.
pub(super) fn quic(tls: Tls) -> Result<(ServerConfig, ClientConfig), NoInitialCipherSuite> {
    let transport = Arc::new(transport());
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls.server)?));
    server
        .transport_config(Arc::clone(&transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX_TOTAL);
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls.client)?));
    client.transport_config(transport);
    Ok((server, client))
}

/// The one socket of all node links.
pub(super) fn socket(listen: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}
