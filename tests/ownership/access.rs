//! TLS, users and passwords.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use seawall::ownership::redis::{RedisPassword, RedisTls};
use seawall::tls::ClientIdentity;
use tempfile::TempDir;

use super::servers::{Server, redis};
use super::*;
use crate::support::ports::free_port;

/// What a user needs to be allowed, as config/seawall.toml says it.
const RIGHTS: [&str; 4] = ["~seawall:*", "+eval", "+info", "+@hash"];

#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let Some(program) = redis() else { return };
    let server = Server::start(&program, &["--requirepass", "other"]).await;
    let admin = ["-a", "other", "--no-auth-warning"];
    let user = ["ACL", "SETUSER", "gateway", "on", ">hush"];
    let made = server.run(&[admin.as_slice(), &user, &RIGHTS].concat()).await;
    assert_eq!(made, "OK");
    let with = |user: Option<&str>, password: Option<&str>| RedisParams {
        user: user.map(str::to_owned),
        password: password.map(|password| RedisPassword(password.to_owned())),
        ..params(RedisMode::Single, &[server.port])
    };
    let store = RedisStore::new(&with(Some("gateway"), Some("hush"))).unwrap();
    join(&store, 1).await;
    assert!(matches!(renew(&store, lease(1, 2)).await, Ok(RenewAnswer::Renewed(_))));
    let store = RedisStore::new(&with(None, Some("other"))).unwrap();
    assert_eq!(read(&store).await.unwrap().leases.len(), 1);
    server
        .run(
            &[
                admin.as_slice(),
                &["ACL", "SETUSER", "reader", "on", ">hush", "~*", "+eval", "+info", "+hget"],
            ]
            .concat(),
        )
        .await;
    for wrong in
        [with(Some("gateway"), Some("wrong")), with(Some("reader"), Some("hush")), with(None, None)]
    {
        let error = read(&RedisStore::new(&wrong).unwrap()).await.unwrap_err();
        assert_eq!(error.fault(), StoreFault::Configuration, "{error:?}");
        assert!(!error.may_apply(), "{error:?}");
        assert!(
            !error.to_string().contains("hush") && !error.to_string().contains("wrong "),
            "{error}"
        );
    }
}

/// Certificates in a folder: an authority, the server's, a client's.
struct Certificates {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let (folder, key) = (TempDir::new().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        let certificates = Self { folder, issuer: Issuer::new(params, key) };
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            // OpenSSL takes a certificate with its issuer's name for one that signed itself.
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &certificates.issuer).unwrap();
            std::fs::write(certificates.path(&format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(certificates.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        certificates
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn tls(port: u16, ca_file: &Path, identity: Option<ClientIdentity>) -> RedisStore {
    let tls = Some(RedisTls { ca_file: Some(ca_file.to_owned()), identity });
    RedisStore::new(&RedisParams { tls, ..params(RedisMode::Single, &[port]) }).unwrap()
}

#[tokio::test]
async fn over_tls_both_ends_show_who_they_are() {
    let Some(program) = redis() else { return };
    let files = Certificates::new();
    let port = free_port();
    let settings = [
        ("--tls-port", port.to_string()),
        ("--tls-ca-cert-file", files.text("ca.pem")),
        ("--tls-cert-file", files.text("server.pem")),
        ("--tls-key-file", files.text("server.key")),
        ("--tls-auth-clients", "yes".to_owned()),
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|(key, value)| [*key, value]).collect();
    let _server = Server::start(&program, &settings).await;
    let identity = ClientIdentity {
        certificate_file: files.path("client.pem"),
        key_file: files.path("client.key"),
    };
    let store = tls(port, &files.path("ca.pem"), Some(identity.clone()));
    join(&store, 1).await;
    // Without a certificate of its own, the node is turned away.
    let error = read(&tls(port, &files.path("ca.pem"), None)).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    // Another authority's server is turned away by the node.
    let others = Certificates::new();
    let error = read(&tls(port, &others.path("ca.pem"), Some(identity))).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreachable(why) if why.contains("certificate")),
        "{error}"
    );
}
