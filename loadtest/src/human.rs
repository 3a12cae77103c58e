//! Durations as people write them (`500ms`, `30s`, `2m`), on the command line and in JSON.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration that reads and writes itself as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Human(pub(crate) Duration);

/// The longest duration taken: a week. Anything longer is a typing error.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

impl FromStr for Human {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = seawall::config::duration(text)?;
        if duration > LONGEST {
            return Err(format!("`{text}` is longer than a week"));
        }
        Ok(Self(duration))
    }
}

impl TryFrom<String> for Human {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Human> for String {
    fn from(human: Human) -> Self {
        human.to_string()
    }
}

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1_000_000) {
            write!(f, "{}s", micros / 1_000_000)
        } else if micros.is_multiple_of(1_000) {
            write!(f, "{}ms", micros / 1_000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("500ms".parse(), Ok(Human(Duration::from_millis(500))));
        assert_eq!("1.5s".parse(), Ok(Human(Duration::from_millis(1500))));
        assert_eq!("2m".parse(), Ok(Human(Duration::from_secs(120))));
        assert_eq!(Human(Duration::from_millis(1500)).to_string(), "1500ms");
        for wrong in ["", "5", "s", "-1s", "1e3s", "9999h"] {
            assert!(wrong.parse::<Human>().is_err(), "{wrong}");
        }
    }
}
