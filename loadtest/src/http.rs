//! HTTP/1.1 beside the storm: a client for reports and metrics, and the serving of the stand-in's
//! connections. All of it is hyper's; this module sets its limits.
//!
//! The agents of a fleet write their upgrade requests themselves ([`crate::fleet`]), and so does
//! the bare loop of the yardstick read them ([`crate::yardstick`]): both are the measure of what a
//! machine can do, and thousands of connections a second must cost their bytes alone.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that the client reads: the views of a million agents.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How long the client waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer of the stand-in.
pub(crate) type StandInAnswer = http::Response<Full<Bytes>>;

/// Reads a request's body.
///
/// # Errors
/// When the connection fails, or the body is longer than `bytes_max`.
pub(crate) async fn read_body(body: Incoming, bytes_max: usize) -> io::Result<Bytes> {
    let body = Limited::new(body, bytes_max).collect().await.map_err(io::Error::other)?;
    Ok(body.to_bytes())
}

/// Fetches `http://host:port/path`, by POST if there is a body, and returns the answer's body.
///
/// # Errors
/// When the URL has another form, the connection fails, a minute is over, or the status is other
/// than 2xx.
pub(crate) async fn fetch(url: &str, body: Option<&str>) -> io::Result<Vec<u8>> {
    let context = |error: io::Error| io::Error::new(error.kind(), format!("{url}: {error}"));
    tokio::time::timeout(ANSWER_TIMEOUT, fetch_now(url, body))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(context)
}

async fn fetch_now(url: &str, body: Option<&str>) -> io::Result<Vec<u8>> {
    let uri: Uri = url.parse().map_err(invalid)?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(|| invalid("only http:// is understood"))?.as_str();
    let stream = TcpStream::connect(authority).await?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
    // Ends with the answer, whose error says what went wrong.
    let connection = tokio::spawn(connection);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().method(method).uri(path).header(HOST, authority);
    let body = Full::new(Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()));
    let request = request.body(body).map_err(invalid)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status();
    let body = read_body(answer.into_body(), ANSWER_BYTES_MAX).await?;
    connection.abort();
    if status.is_success() {
        return Ok(body.to_vec());
    }
    let said = String::from_utf8_lossy(&body);
    Err(invalid(format!("answered with status {}: {}", status.as_u16(), said.trim())))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    /// Answers each request with its method, path and body; a path of three digits with that status.
    async fn mirror(request: Request<Incoming>) -> io::Result<StandInAnswer> {
        let (head, body) = request.into_parts();
        let body = read_body(body, 10).await?;
        let text = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
        let status = head.uri.path()[1..].parse().unwrap_or(200);
        Ok(http::Response::builder().status(status).body(text.into()).unwrap())
    }

    #[tokio::test]
    async fn answers_are_fetched_and_refusals_are_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(mirror)));
            }
        });
        assert_eq!(fetch(&format!("{base}/a?b=1"), None).await.unwrap(), b"GET /a?b=1 ");
        assert_eq!(fetch(&format!("{base}/a"), Some("x")).await.unwrap(), b"POST /a x");
        assert_eq!(fetch(&base, None).await.unwrap(), b"GET / ");
        let refused = fetch(&format!("{base}/405"), None).await.unwrap_err().to_string();
        assert!(refused.contains("answered with status 405: GET /405"), "{refused}");
        assert!(fetch(&format!("{base}/a"), Some("more than ten bytes")).await.is_err());
        assert!(fetch("https://127.0.0.1:1/", None).await.is_err());
        assert!(fetch("nonsense", None).await.is_err());
    }
}
