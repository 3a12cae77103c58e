//! Handshakes: a connection that is open, with the member at its other end.

use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::driver::{LinkDriver, NodeConnection};
use super::error::{CloseCode, NotLinked};
use super::identity::fingerprint_of;
use super::members::{KnownMembers, Member};
use super::transport::DIAL_TIMEOUT;
use crate::core::ownership::CertificateFingerprint;

/// What the other side names itself in the handshake plays no part: its key is what counts.
const SERVER_NAME: &str = "node";

/// Dials this member.
pub(super) async fn dial(endpoint: Endpoint, member: Member) -> Result<NodeConnection, NotLinked> {
    let Some(address) = member.address else { return Err(NotLinked::Timeout) };
    let (connecting, driver) = LinkDriver::of(|| endpoint.connect(address, SERVER_NAME));
    let connection = timeout(DIAL_TIMEOUT, connecting?).await.map_err(|_| NotLinked::Timeout)??;
    if shown_by(&connection) == Some(member.fingerprint) {
        return Ok(NodeConnection { connection, driver });
    }
    connection.close(CloseCode::OtherNode.into(), b"another node was meant");
    Err(NotLinked::OtherNode)
}

/// Lets another node in; says which member it is.
pub(super) async fn accept(
    incoming: Incoming,
    members: KnownMembers,
) -> Result<(Member, NodeConnection), NotLinked> {
    let (connecting, driver) = LinkDriver::of(|| incoming.accept());
    let connection = timeout(DIAL_TIMEOUT, connecting?).await.map_err(|_| NotLinked::Timeout)??;
    let member = shown_by(&connection).and_then(|shown| members.by_fingerprint(shown));
    match member {
        Some(member) => Ok((member, NodeConnection { connection, driver })),
        // Its lease has ended since the handshake.
        None => {
            connection.close(CloseCode::LeaseGone.into(), b"no lease");
            Err(NotLinked::Unknown)
        }
    }
}

fn shown_by(connection: &Connection) -> Option<CertificateFingerprint> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    shown.first().map(fingerprint_of)
}
