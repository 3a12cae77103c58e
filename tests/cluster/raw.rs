//! A peer that speaks QUIC by hand, and so can say what a node never would.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use ring::digest::{SHA256, digest};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use seawall::cluster::Member;
use seawall::core::ownership::{CertificateFingerprint, NodeName};

use crate::nodes::incarnation;

/// Accepts every key.
#[derive(Debug)]
struct Anyone;

macro_rules! accepts_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    accepts_signatures!();
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    accepts_signatures!();
}

/// See the module's text.
pub(crate) struct RawPeer {
    pub(crate) endpoint: Endpoint,
    pub(crate) member: Member,
}

impl RawPeer {
    /// With a key of its own. A number below the node's makes it the one that opens the streams.
    pub(crate) fn start(number: u64) -> Self {
        Self::speaking(number, b"seawall-node/1")
    }

    pub(crate) fn speaking(number: u64, protocol: &[u8]) -> Self {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_ref());
        let key = rustls::crypto::ring::sign::any_eddsa_type(&pkcs8).unwrap();
        let shown = CertificateDer::from(key.public_key().unwrap().as_ref().to_vec());
        let fingerprint = digest(&SHA256, &shown).as_ref().try_into().unwrap();
        let key = Arc::new(CertifiedKey::new(vec![shown], key));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(Anyone))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&key))));
        server.alpn_protocols = vec![protocol.to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
        client.alpn_protocols = vec![protocol.to_vec()];
        let server = Arc::new(QuicServerConfig::try_from(server).unwrap());
        let client = Arc::new(QuicClientConfig::try_from(client).unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut endpoint = Endpoint::server(ServerConfig::with_crypto(server), listen).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(client));
        let member = Member {
            name: NodeName::try_new("raw").unwrap(),
            incarnation: incarnation(number),
            address: None,
            fingerprint: CertificateFingerprint(fingerprint),
        };
        Self { endpoint, member }
    }

    /// The peer as one that others dial.
    pub(crate) fn with_address(&self) -> Member {
        Member { address: Some(self.endpoint.local_addr().unwrap()), ..self.member.clone() }
    }

    pub(crate) async fn dial(&self, node: &Member) -> Result<Connection, quinn::ConnectionError> {
        self.endpoint.connect(node.address.unwrap(), "node").unwrap().await
    }

    /// Dials, and opens the streams as a node would. Control comes first.
    pub(crate) async fn link(&self, node: &Member) -> RawLink {
        let connection = self.dial(node).await.unwrap();
        let mut streams = Vec::new();
        for index in 0..5 {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&[index]).await.unwrap();
            streams.push((send, recv));
        }
        let mut answer = [9];
        streams[0].1.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0]);
        RawLink { connection, streams }
    }
}

/// A link that a node takes for one of a node's.
pub(crate) struct RawLink {
    pub(crate) connection: Connection,
    pub(crate) streams: Vec<(SendStream, RecvStream)>,
}
