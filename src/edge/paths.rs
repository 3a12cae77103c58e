//! The paths of the OpAMP endpoint. They are compared as RFC 3986, section 6.2.2.2, says: `%6F` is an `o`, and `%2F` is
//! no slash.

use std::fmt::Write as _;

/// One path, or several: agents may have been given another one than the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPaths(Vec<String>);

impl EndpointPaths {
    /// Paths as an operator writes them, each from its first slash on.
    pub(crate) fn new(paths: &[impl AsRef<str>]) -> Self {
        Self(paths.iter().map(|path| normal(path.as_ref())).collect())
    }

    /// Whether a request for this path, its query left out, is for the endpoint.
    pub(super) fn has(&self, path: &str) -> bool {
        let is_one = |path: &str| self.0.iter().any(|own| own == path);
        if path.contains('%') { is_one(&normal(path)) } else { is_one(path) }
    }

    /// As they are compared.
    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The path with all decoded that means the same without being encoded.
fn normal(path: &str) -> String {
    let mut parts = path.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let decoded =
            part.split_at_checked(2).and_then(|(digits, rest)| Some((byte(digits)?, rest)));
        match decoded {
            Some((byte, rest)) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
                normal.push_str(rest);
            }
            Some((byte, rest)) => {
                // A string takes all that is written into it.
                let _ = write!(normal, "%{byte:02X}{rest}");
            }
            None => {
                normal.push('%');
                normal.push_str(part);
            }
        }
    }
    normal
}

fn byte(digits: &str) -> Option<u8> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_letter_is_the_letter_and_an_encoded_slash_is_none() {
        let paths = EndpointPaths::new(&["/v1/opamp", "/a%2fb"]);
        for path in ["/v1/opamp", "/v1/%6Fpam%70", "/%76%31/opamp", "/a%2Fb", "/a%2fb"] {
            assert!(paths.has(path), "{path}");
        }
        for path in [
            "/v1%2Fopamp",
            "/v1/opamp/",
            "/v1/%4Fpamp",
            "/v1/%6",
            "/v1/opamp%",
            "/v1/%+6pamp",
            "/a/b",
            "/",
        ] {
            assert!(!paths.has(path), "{path}");
        }
        assert_eq!(paths.as_slice()[1], "/a%2Fb");
    }
}
