//! What a dial needs of files: the values of headers, and the authorities to trust. They are read at each dial, so that
//! who renews a token or a certificate need not restart the node.

use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::error::DialError;
use crate::tls::{ClientFiles, FreshClient, TlsError};
use crate::upstream::params::{HeaderSource, ServerParams};

/// Where it comes from.
pub(super) struct MaterialSource {
    headers: Arc<[(HeaderName, HeaderSource)]>,
    tls: Option<(Arc<FreshClient>, ServerName<'static>)>,
}

/// What one dial is made with.
pub(super) struct Material {
    pub(super) headers: HeaderMap,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl MaterialSource {
    /// `host`: whose name the certificate must have; `None`: the connection is not encrypted.
    ///
    /// # Errors
    /// If the authorities cannot be read, or the host is something that a certificate has no room for.
    pub(super) fn new(
        server: &ServerParams,
        user_agent: &HeaderValue,
        host: Option<&str>,
    ) -> Result<Self, TlsError> {
        let mut headers = server.headers.clone();
        if headers.iter().all(|(name, _)| *name != USER_AGENT) {
            headers.push((USER_AGENT, HeaderSource::Value(user_agent.clone())));
        }
        let tls = match host {
            None => None,
            Some(host) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| TlsError::Name(host.to_owned()))?;
                let files = ClientFiles { ca_file: server.ca_file.clone(), identity: None };
                Some((Arc::new(FreshClient::new(files)?), name))
            }
        };
        Ok(Self { headers: headers.into(), tls })
    }

    /// As it is now.
    ///
    /// # Errors
    /// If a file is missing, or holds something else than it should.
    pub(super) async fn read(&self) -> Result<Material, DialError> {
        let headers = self.headers().await?;
        let tls = match &self.tls {
            None => None,
            Some((client, name)) => Some((client.connector().await?, name.clone())),
        };
        Ok(Material { headers, tls })
    }

    /// Whether files have a say in the headers.
    pub(super) fn reads_headers(&self) -> bool {
        self.headers.iter().any(|(_, source)| source.is_file())
    }

    /// The headers alone.
    pub(super) async fn headers(&self) -> Result<HeaderMap, DialError> {
        if !self.reads_headers() {
            return values(&self.headers);
        }
        let headers = Arc::clone(&self.headers);
        let reading = tokio::task::spawn_blocking(move || values(&headers));
        reading.await.unwrap_or_else(|_| Err(DialError::File("the process ends".to_owned())))
    }
}

fn values(headers: &[(HeaderName, HeaderSource)]) -> Result<HeaderMap, DialError> {
    let value = |(name, source): &(HeaderName, HeaderSource)| {
        source.read().map(|value| (name.clone(), value)).map_err(DialError::File)
    };
    headers.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_header_follows_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let token = HeaderName::from_static("x-token");
        let mut server = ServerParams::at(http::Uri::from_static("ws://h/"));
        server.headers = vec![(token.clone(), HeaderSource::File(file.path().to_owned()))];
        let agent = HeaderValue::from_static("Seawall/1 (n)");
        let source = MaterialSource::new(&server, &agent, None).unwrap();
        let read = async || source.read().await.map(|material| material.headers);
        assert_eq!(read().await.unwrap()[&token], "first");
        std::fs::write(file.path(), "second\n").unwrap();
        let headers = read().await.unwrap();
        assert_eq!((&headers[&token], &headers[USER_AGENT]), (&"second".parse().unwrap(), &agent));
        std::fs::write(file.path(), "a\nb").unwrap();
        let told = read().await.unwrap_err().to_string();
        assert!(told.contains(file.path().to_str().unwrap()), "{told}");

        server.headers = vec![(USER_AGENT, HeaderSource::Value("own".parse().unwrap()))];
        let source = MaterialSource::new(&server, &agent, None).unwrap();
        assert_eq!(source.read().await.unwrap().headers[USER_AGENT], "own");
    }
}
