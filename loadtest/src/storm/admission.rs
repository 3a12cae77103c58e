//! The rate of admission of the gateway under test, which can be set while it runs.

use std::io;

use serde_json::Value;

use crate::http;

/// The admin port of the gateway under test.
#[derive(Debug, Clone)]
pub(crate) struct RateSetting {
    metrics: Vec<String>,
}

impl RateSetting {
    /// On the port where these metrics are.
    pub(crate) fn beside(metrics: &[String]) -> Self {
        Self { metrics: metrics.to_vec() }
    }

    /// Sets it; 0 leaves it to the gateway.
    ///
    /// # Errors
    /// When there are several gateways or none, when the gateway stays silent or lacks this
    /// request, or when its answer names another rate.
    pub(crate) async fn set(&self, per_second: f64) -> io::Result<()> {
        let url = format!("{}/admission?rate={per_second}", base(&self.metrics)?);
        match http::fetch(&url, Some("")).await {
            Ok(answer) => taken(&answer, per_second),
            // A gateway that answers GET alone says 405, to whatever path.
            Err(error) if is_unknown(&error) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the gateway knows no POST /admission, so its rate cannot be set: {error}"),
            )),
            Err(error) => Err(error),
        }
    }
}

/// Whether the gateway says that it has this rate now. What it finds itself it may choose freely.
fn taken(answer: &[u8], wanted: f64) -> io::Result<()> {
    let state: Value = serde_json::from_slice(answer)
        .map_err(|error| io::Error::other(format!("POST /admission answers no JSON: {error}")))?;
    let rate = state.get("rate").and_then(Value::as_f64);
    if wanted == 0.0 || rate == Some(wanted) {
        return Ok(());
    }
    let rate = rate.map_or_else(|| "not known".to_owned(), |rate| rate.to_string());
    Err(io::Error::other(format!(
        "the gateway was set to {wanted} a second, but its rate is {rate}"
    )))
}

fn is_unknown(error: &io::Error) -> bool {
    let said = error.to_string();
    ["404", "405"].iter().any(|status| said.contains(&format!("answered with status {status}")))
}

fn base(metrics: &[String]) -> io::Result<&str> {
    // What several gateways admit together depends on how they share it.
    let [url] = metrics else {
        let many = metrics.len();
        let fault =
            format!("a rate can be set at one gateway, and {many} are named by their metrics");
        return Err(io::Error::other(fault));
    };
    let base = url.trim_end_matches('/');
    Ok(base.strip_suffix("/metrics").unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_the_gateway_does_not_have_is_an_error() {
        assert!(taken(br#"{"rate":500}"#, 500.0).is_ok());
        assert!(taken(br#"{"rate":2000,"automatic":true}"#, 0.0).is_ok());
        for answer in [&br#"{"rate":1000}"#[..], b"{}", b"", br#"{"rate":null}"#] {
            assert!(taken(answer, 500.0).is_err());
        }
    }

    #[test]
    fn it_is_next_to_the_metrics_of_the_one_gateway() {
        let urls = ["http://a:1/metrics", "http://a:1", "http://a:1/"].map(str::to_owned);
        for url in urls {
            assert_eq!(base(&[url]).unwrap(), "http://a:1");
        }
        assert!(base(&[]).is_err());
        assert!(base(&["http://a:1/metrics".to_owned(), "http://b:1/metrics".to_owned()]).is_err());
    }
}
