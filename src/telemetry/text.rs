//! Numbers as people read them, in log lines and summaries. Must not know what they count.

/// An error with its causes. One whose text tells of its cause already says it once.
pub fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// Writes `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum CauseTold {
        #[error("the store cannot be reached: {0}")]
        Twice(#[from] std::io::Error),
        #[error("cannot listen")]
        Once(#[source] std::io::Error),
        #[error("no start")]
        Deep(#[source] Box<CauseTold>),
    }

    #[test]
    fn a_cause_is_told_once() {
        let refused = || std::io::Error::other("refused");
        assert_eq!(explained(&CauseTold::Twice(refused())), "the store cannot be reached: refused");
        assert_eq!(explained(&CauseTold::Once(refused())), "cannot listen: refused");
        let deep = CauseTold::Deep(Box::new(CauseTold::Twice(refused())));
        assert_eq!(explained(&deep), "no start: the store cannot be reached: refused");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
