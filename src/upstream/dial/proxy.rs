//! A way through an HTTP proxy to the server behind it: CONNECT (RFC 9110, section 9.3.6), for every scheme and mode.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::error::ProxyFault;
use super::head::{HeadError, read_head};
use crate::clock;
use crate::upstream::params::ProxyParams;

/// Has the proxy open a way to `server` (host and port), after which the stream is the server's.
///
/// # Errors
/// If it refuses, or answers something else.
pub(super) async fn open_way(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &ProxyParams,
    server: &str,
    user_agent: &str,
) -> Result<(), ProxyFault> {
    let mut request =
        format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: {user_agent}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(&authorization.0);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(ProxyFault::Lost)?;
    stream.flush().await.map_err(ProxyFault::Lost)?;
    let answer = read_head(stream, |head| (head.status, head.retry_after(clock::wall()))).await;
    let ((status, retry_after), behind) = answer.map_err(|error| match error {
        HeadError::Broken(error) => ProxyFault::Lost(error),
        HeadError::NotHttp(fault) => ProxyFault::NotHttp(fault),
        HeadError::TooLong(most) => ProxyFault::TooLong(most),
    })?;
    if !(200..300).contains(&status) {
        return Err(ProxyFault::Refused { status, retry_after });
    }
    // The server has nothing to say before it is asked.
    if behind.is_empty() { Ok(()) } else { Err(ProxyFault::Body) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::params::ProxyAuthorization;
    use tokio::io::AsyncReadExt as _;

    async fn asked(answer: &str) -> (Result<(), ProxyFault>, String) {
        let (mut own, mut proxy) = tokio::io::duplex(4096);
        proxy.write_all(answer.as_bytes()).await.unwrap();
        let authorization = Some(ProxyAuthorization("Basic dTpw".to_owned()));
        let params = ProxyParams { host: "p".to_owned(), port: 3128, authorization };
        let outcome = open_way(&mut own, &params, "h:4320", "Seawall/1 (n)").await;
        drop(own);
        let mut request = String::new();
        proxy.read_to_string(&mut request).await.unwrap();
        (outcome, request)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_way_and_may_refuse_it() {
        let (outcome, request) = asked("HTTP/1.1 200 Connection established\r\n\r\n").await;
        assert!(outcome.is_ok());
        assert_eq!(
            request,
            "CONNECT h:4320 HTTP/1.1\r\nHost: h:4320\r\nUser-Agent: Seawall/1 (n)\r\n\
             Proxy-Authorization: Basic dTpw\r\n\r\n"
        );
        for (answer, expected) in [
            ("HTTP/1.1 407 x\r\n\r\n", "it refuses the credentials in its address (407)"),
            ("HTTP/1.1 502 x\r\n\r\n", "it answered 502 to CONNECT"),
            ("HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nhi", "its answer has a body"),
            ("SSH-2.0-x\r\n\r\n", "its answer is not HTTP"),
        ] {
            let told = asked(answer).await.0.unwrap_err().to_string();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
