//! Which authorities to trust when dialling a server over TLS. Knows files and the system's store; what is
//! dialled, `dial` knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why a server cannot be dialled over TLS. The configuration's fault: it must be mended
/// before another try.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities' file is missing, unreadable, or something else than PEM.
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

/// A client that trusts the authorities in `ca_file`, or those of the system.
///
/// # Errors
/// If reading them fails.
pub(super) fn client(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let fault = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(e.to_string()))? {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate).map_err(|e| fault(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("no certificate in it".to_owned()));
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
