//! TLS as a client: which authorities to trust when dialling, and which certificate to show. Knows files and
//! the system's store; what is dialled, the callers know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Why a server cannot be dialled over TLS. The configuration's fault: it must be mended
/// before another try.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, unreadable, or something else than PEM.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's trust store is missing.
    #[error("the system's certificate authorities cannot be read: {0}; name a `ca_file`")]
    System(String),
    /// The URL's host is something else than a DNS name or an address.
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    /// The TLS library refused the set-up.
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}

/// The files with which a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its certificate, and those between it and an authority that the server trusts.
    pub certificate_file: PathBuf,
    /// The certificate's private key.
    pub key_file: PathBuf,
}

/// A client that trusts the authorities in `ca_file`, or those of the system, and shows `identity` if asked.
///
/// # Errors
/// If reading a file fails, or a key does not fit its certificate.
pub(crate) fn client(
    ca_file: Option<&Path>,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(ClientIdentity { certificate_file, key_file }) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(key_file);
    let key = key.map_err(|error| fault(key_file, error))?;
    Ok(builder.with_client_auth_cert(certificates(certificate_file)?, key)?)
}

fn fault(path: &Path, reason: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.to_string() }
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| fault(path, error))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| fault(path, error))?;
    if found.is_empty() {
        return Err(fault(path, "no certificate in it"));
    }
    Ok(found)
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| fault(path, error))?;
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::System(errors.join("; ")));
    }
    Ok(roots)
}
