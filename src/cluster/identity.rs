//! What a node proves to others: that it holds a key. The key is made at each start and stays in memory; its
//! fingerprint goes into the node's lease, and the lease is all that others trust.
//!
//! The key is shown as it is (a raw public key, RFC 7250), where a certificate would wrap it in names and
//! dates that its owner signs for itself and that others therefore pass over. So no certificate has to be
//! made or parsed, and no wall clock decides whether it is valid.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::core::ownership::CertificateFingerprint;

/// This node has no key. The fault of its system or of the TLS library.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system's random source failed.
    #[error("no key for node links: the system's random source failed")]
    Random,
    /// The TLS library refused the key.
    #[error("no key for node links: {0}")]
    Key(#[from] rustls::Error),
}

/// A node's key, and what others know it by.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    pub(super) key: Arc<CertifiedKey>,
    fingerprint: CertificateFingerprint,
}

impl NodeIdentity {
    /// Makes a new key.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn generate() -> Result<Self, IdentityError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|ring::error::Unspecified| IdentityError::Random)?;
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_ref()))?;
        let shown = key.public_key().ok_or(rustls::Error::HandshakeNotComplete)?;
        let shown = CertificateDer::from(shown.as_ref().to_vec());
        let fingerprint = fingerprint_of(&shown);
        Ok(Self { key: Arc::new(CertifiedKey::new(vec![shown], key)), fingerprint })
    }

    /// What the node's lease must name.
    pub const fn fingerprint(&self) -> CertificateFingerprint {
        self.fingerprint
    }
}

/// The fingerprint of what a node shows in the handshake.
pub(super) fn fingerprint_of(shown: &CertificateDer<'_>) -> CertificateFingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, shown).as_ref());
    CertificateFingerprint(bytes)
}
