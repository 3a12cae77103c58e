//! TLS as a client: which authorities to trust when dialling, and which certificate to show. Knows files and
//! the system's store; what is dialled, the callers know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

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
    /// The process ends, and reads no more files.
    #[error("the process ends")]
    CutOff,
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

/// What a client's side of TLS is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFiles {
    /// Authorities to trust; `None`: those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Shown to a server that asks.
    pub(crate) identity: Option<ClientIdentity>,
}

/// A client's side of TLS that follows its files: who renews a certificate need not restart the process. The system's
/// authorities are those of the start.
pub(crate) struct FreshClient {
    files: ClientFiles,
    last: Mutex<Last>,
}

/// What the files held when they were last read, and what was made of it. As long as they stay the same, sessions of
/// TLS are resumed.
struct Last {
    bytes: FileBytes,
    client: Arc<ClientConfig>,
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct FileBytes {
    authorities: Option<Vec<u8>>,
    certificate_and_key: Option<(Vec<u8>, Vec<u8>)>,
}

impl FreshClient {
    /// # Errors
    /// If reading a file fails, or a key does not fit its certificate.
    pub(crate) fn new(files: ClientFiles) -> Result<Self, TlsError> {
        let bytes = files.read()?;
        let client = Arc::new(files.client(&bytes)?);
        Ok(Self { files, last: Mutex::new(Last { bytes, client }) })
    }

    /// For one dial, as the files are now.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub(crate) async fn connector(self: &Arc<Self>) -> Result<TlsConnector, TlsError> {
        if self.files.ca_file.is_none() && self.files.identity.is_none() {
            return Ok(TlsConnector::from(Arc::clone(&self.last.lock().client)));
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.client());
        let client = read.await.map_err(|_| TlsError::CutOff)??;
        Ok(TlsConnector::from(client))
    }

    /// As the files are now. Blocks while they are read.
    fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let bytes = self.files.read()?;
        let mut last = self.last.lock();
        if last.bytes != bytes {
            let client = Arc::new(self.files.client(&bytes)?);
            *last = Last { bytes, client };
        }
        Ok(Arc::clone(&last.client))
    }
}

impl ClientFiles {
    /// Says what is wrong with the files, so that configuration can report it with everything else.
    ///
    /// # Errors
    /// As for [`FreshClient::new`].
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        let bytes = self.read()?;
        if let (Some(path), Some(pem)) = (&self.ca_file, &bytes.authorities) {
            named_roots(path, pem)?;
        }
        if bytes.certificate_and_key.is_some() {
            with_identity(self, &bytes, RootCertStore::empty())?;
        }
        Ok(())
    }

    fn read(&self) -> Result<FileBytes, TlsError> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| fault(path, error));
        let authorities = self.ca_file.as_ref().map(read).transpose()?;
        let both = |ClientIdentity { certificate_file, key_file }: &ClientIdentity| {
            Ok::<_, TlsError>((read(certificate_file)?, read(key_file)?))
        };
        let certificate_and_key = self.identity.as_ref().map(both).transpose()?;
        Ok(FileBytes { authorities, certificate_and_key })
    }

    fn client(&self, bytes: &FileBytes) -> Result<ClientConfig, TlsError> {
        let roots = match (&self.ca_file, &bytes.authorities) {
            (Some(path), Some(pem)) => named_roots(path, pem)?,
            _ => system_roots()?,
        };
        with_identity(self, bytes, roots)
    }
}

fn with_identity(
    files: &ClientFiles,
    bytes: &FileBytes,
    roots: RootCertStore,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let (Some(identity), Some((certificate, key))) = (&files.identity, &bytes.certificate_and_key)
    else {
        return Ok(builder.with_no_client_auth());
    };
    let ClientIdentity { certificate_file, key_file } = identity;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| fault(key_file, error))?;
    Ok(builder.with_client_auth_cert(certificates(certificate_file, certificate)?, key)?)
}

fn fault(path: &Path, reason: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.to_string() }
}

/// The certificates in a file, at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| fault(path, error))?;
    if found.is_empty() {
        return Err(fault(path, "holds no PEM certificate"));
    }
    Ok(found)
}

fn named_roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| fault(path, error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::System(errors.join("; ")));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn files_are_followed_and_what_is_wrong_with_them_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (certificate_file, key_file) = (path("certificate"), path("key"));
        let (authority, other) = (certificate(), certificate());
        let own = certificate();
        std::fs::write(path("ca"), &authority.0).unwrap();
        std::fs::write(&certificate_file, &own.0).unwrap();
        std::fs::write(&key_file, &own.1).unwrap();
        let files = ClientFiles {
            ca_file: Some(path("ca")),
            identity: Some(ClientIdentity { certificate_file, key_file }),
        };
        assert!(files.check().is_ok());
        let client = FreshClient::new(files.clone()).unwrap();
        let first = client.client().unwrap();
        assert!(Arc::ptr_eq(&first, &client.client().unwrap()));
        std::fs::write(path("ca"), &other.0).unwrap();
        let second = client.client().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));

        for (file, text) in [
            ("ca", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            ("ca", "nothing"),
            ("certificate", "nothing"),
            ("key", "nothing"),
        ] {
            let before = std::fs::read(path(file)).unwrap();
            std::fs::write(path(file), text).unwrap();
            let told = files.check().unwrap_err().to_string();
            assert!(told.starts_with(&path(file).display().to_string()), "{told}");
            assert!(client.client().is_err());
            std::fs::write(path(file), before).unwrap();
        }
        // A key that does not fit names no file, because either may be wrong.
        std::fs::write(path("key"), &other.1).unwrap();
        assert!(matches!(files.check(), Err(TlsError::Setup(_))));
    }
}
