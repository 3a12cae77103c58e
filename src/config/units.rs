//! Lengths of time and sizes as people write them, in the configuration and on the load generator's command
//! line: `500ms`, `1m30s`, `64MiB`. Must not know bounds.

use std::time::Duration;

/// Reads a length of time: numbers with a unit (us, ms, s, m, h, d), in any order, such as `1m30s` or `1.5s`.
/// Exact to the microsecond; further digits are cut.
///
/// # Errors
/// Says what would be right. The writer's fault; retrying does not help.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a length of time such as \"500ms\", \"60s\", \"2m\"");
    let mut rest = text.trim();
    let mut micros: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (whole, after) = number(rest).ok_or_else(wrong)?;
        let (decimals, after) = decimals(after).ok_or_else(wrong)?;
        let unit_length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(unit_length);
        let factor = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(wrong()),
        };
        let part = whole.checked_mul(factor).ok_or_else(wrong)?;
        // At most six digits: the product fits.
        let part = part.checked_add(decimals * factor / 1_000_000).ok_or_else(wrong)?;
        micros = micros.checked_add(part).ok_or_else(wrong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_micros(micros))
}

/// The digits behind a decimal point, as millionths, and what follows them.
fn decimals(text: &str) -> Option<(u64, &str)> {
    let Some(after) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = after.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = after.split_at(length);
    let millionths: String = digits.chars().chain("000000".chars()).take(6).collect();
    (length > 0).then_some(())?;
    Some((millionths.parse().ok()?, rest.trim_start()))
}

/// Reads a size in bytes: a whole number, with a unit (B, KiB, MiB, GiB) or plain.
///
/// # Errors
/// Says what would be right.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size such as \"64MiB\", \"16KiB\" or 4096");
    let (number, unit) = number(text.trim()).ok_or_else(wrong)?;
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// The whole number in front of `text`, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let (digits, rest) = text.split_at(length);
    Some((digits.replace('_', "").parse().ok()?, rest.trim_start()))
}

/// Writes a length of time as [`duration`] reads it.
pub(super) fn show_duration(value: Duration) -> String {
    let micros = value.as_micros();
    let units = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    if micros == 0 {
        return "0s".to_owned();
    }
    match units.into_iter().find(|(unit, _)| micros.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", micros / unit),
        None => format!("{micros}us"),
    }
}

/// Writes a size as [`bytes`] reads it.
pub(super) fn show_bytes(value: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |(shift, _): &&(u32, &str)| value != 0 && value.trailing_zeros() >= *shift;
    match units.iter().find(fits) {
        Some((shift, unit)) => format!("{}{unit}", value >> shift),
        None => format!("{value}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_written() {
        for (text, millis) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1h 5 m", 3_900_000),
            ("0s", 0),
            ("1.5s", 1_500),
            ("0.25m", 15_000),
            ("2000us", 2),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "60", "s", "-1s", "1.s", ".5s", "1e3s", "5 parsecs", "99999999999999999999d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_written() {
        for (text, size) in
            [("4096", 4096), ("64MiB", 64 << 20), ("16 KiB", 16 << 10), ("1_000B", 1000)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "MiB", "64MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 1_500, 60_000, 90_000, 7_200_000] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
        for value in [0, 1, 1024, 1536, 64 << 20, 3 << 30] {
            assert_eq!(bytes(&show_bytes(value)), Ok(value));
        }
    }
}
