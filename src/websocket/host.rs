//! Whether a request says which host it is for (RFC 9112, section 3.2). Proxies choose by that, so a
//! request that two of them may read in different ways is refused.

/// Why a request's `Host` is refused. The client's fault; retrying is in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// HTTP/1.1 demands one.
    #[error("the header Host is missing")]
    Missing,
    /// There are several.
    #[error("the header Host is there more than once")]
    Repeated,
    /// Its value is no host, with or without a port.
    #[error("the header Host is neither a name nor an address")]
    Malformed,
}

/// Checks the values of all headers `Host` of a request of HTTP/1.`minor_version`.
///
/// # Errors
/// What is wrong; 400 answers it.
pub fn check_host<'a>(
    minor_version: u8,
    mut values: impl Iterator<Item = &'a [u8]>,
) -> Result<(), HostFault> {
    match (values.next(), values.next()) {
        (None, _) if minor_version == 0 => Ok(()),
        (None, _) => Err(HostFault::Missing),
        (Some(_), Some(_)) => Err(HostFault::Repeated),
        (Some(value), None) if is_host(value.trim_ascii()) => Ok(()),
        (Some(_), None) => Err(HostFault::Malformed),
    }
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2). A target without authority has an empty one.
fn is_host(value: &[u8]) -> bool {
    let is_literal = value.starts_with(b"[");
    let ends = if is_literal { b']' } else { b':' };
    let end = value.iter().position(|byte| *byte == ends).map(|at| at + usize::from(is_literal));
    if is_literal && end.is_none() {
        return false;
    }
    let (host, port) = value.split_at(end.unwrap_or(value.len()));
    let host_fits = if is_literal {
        host[1..host.len() - 1].iter().all(|byte| *byte == b':' || of_name(*byte))
    } else {
        host.iter().all(|byte| of_name(*byte))
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_fits && port_fits
}

/// Unreserved characters, sub-delimiters, and what is encoded in percent.
const fn of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!')
        || matches!(byte, b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        let judge = |value: &str| check_host(1, [value.as_bytes()].into_iter());
        for host in [
            "",
            "a",
            "seawall.example",
            "my_host:4320",
            "10.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
        ] {
            assert_eq!(judge(host), Ok(()), "{host}");
        }
        for other in
            ["a b", "a/b", "user@a", "a:b", "::1", "[::1", "[::1]x", "a,\u{e9}", "[::1]:4x"]
        {
            assert_eq!(judge(other), Err(HostFault::Malformed), "{other}");
        }
    }

    #[test]
    fn a_request_has_one_host_unless_it_is_old() {
        let values = |count| std::iter::repeat_n(&b"a"[..], count);
        assert_eq!(check_host(1, values(0)), Err(HostFault::Missing));
        assert_eq!(check_host(0, values(0)), Ok(()));
        assert_eq!(check_host(0, values(2)), Err(HostFault::Repeated));
    }
}
