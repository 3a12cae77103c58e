//! `wss://` with an authority of the operator's own, and headers from all three places.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use crate::agents;
use crate::refs;
use crate::support::gateway::{Gateway, GatewayBuilder, Mode};
use crate::support::mock::Mock;

/// An authority: its certificate as a file, and what signs with it.
pub(crate) struct Authority {
    file: NamedTempFile,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// A server's side of TLS for 127.0.0.1.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), &key)
    }

    /// The file with its certificate.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn trusted_by(&self, gateway: GatewayBuilder) -> GatewayBuilder {
        let path = self.path().to_str().unwrap();
        gateway.server_key("ca_file", &format!("\"{path}\""))
    }
}

/// A server's side of TLS that shows this certificate.
pub(crate) fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn before(server: &Mock) -> GatewayBuilder {
    Gateway::builder().server(&server.url(), Mode::Multiplexed(2))
}

#[tokio::test]
async fn a_named_authority_is_trusted() {
    let authority = Authority::new();
    let server = Mock::start_tls(authority.acceptor()).await;
    let gateway = authority.trusted_by(before(&server)).start().await;
    let agents = agents(&gateway, 4).await;
    server.converged(&refs(&agents)).await;
}

#[tokio::test]
async fn a_named_authority_is_trusted_for_posts() {
    let authority = Authority::new();
    let server = Mock::start_https(authority.acceptor()).await;
    let gateway = Gateway::builder().server(&server.url(), Mode::Http(2));
    let gateway = authority.trusted_by(gateway).start().await;
    let agents = agents(&gateway, 4).await;
    server.converged(&refs(&agents)).await;
}

#[tokio::test]
async fn another_authority_is_not() {
    let server = Mock::start_tls(Authority::new().acceptor()).await;
    let stranger = Authority::new();
    let mut gateway = stranger.trusted_by(before(&server)).start_unready().await;
    let failed = [("server", "a"), ("result", "failed")];
    gateway.wait_metric("seawall_upstream_dials_total", &failed, |dials| dials >= 2.0).await;
    gateway.wait_unready().await;
    assert!(gateway.process().log().count("TLS handshake") > 0, "the log says why");
    assert_eq!(server.with(|state| state.heads.len()), 0);
}

#[tokio::test]
async fn headers_arrive_from_configuration_environment_and_file() {
    let server = Mock::start().await;
    let mut secret = NamedTempFile::new().unwrap();
    secret.write_all(b"  from-a-file\n").unwrap();
    let file = format!("{{ X-Token = \"{}\" }}", secret.path().display());
    let mut gateway = before(&server)
        .server_key("headers", "{ X-Region = \"eu-1\" }")
        .server_key("headers_from_env", "{ Authorization = \"SCENE_AUTHORIZATION\" }")
        .server_key("headers_from_file", &file)
        .env("SCENE_AUTHORIZATION", "Bearer from-the-environment")
        .start()
        .await;
    server.wait("both links", |state| state.links() == 2).await;
    for head in server.with(|state| state.heads.clone()) {
        assert_eq!(head["x-region"], "eu-1");
        assert_eq!(head["authorization"], "Bearer from-the-environment");
        assert_eq!(head["x-token"], "from-a-file");
        // A same-origin check would refuse it (docs/FIELD-NOTES.md).
        assert!(!head.contains_key("origin"));
    }
    assert_eq!(gateway.process().log().count("from-the-environment"), 0);
}
