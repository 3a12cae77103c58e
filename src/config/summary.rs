//! The configuration in a few words, for `seawall check` and the log's first lines.

use std::fmt;

use super::Config;
use super::admission;
use super::units::{show_bytes, show_duration};
use crate::core::drain::Terms;
use crate::upstream::params::Mode;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.edge.listen.iter().map(ToString::to_string).collect();
        let (path, size) = (&self.edge.path, show_bytes(self.edge.message_bytes_max as u64));
        writeln!(f, "agents:   {}{path}, messages up to {size}", listen.join(", "))?;
        writeln!(f, "admission:    {}", admission::describe(&self.edge.admission))?;
        let grace_period = show_duration(self.sessions.grace_period);
        let most = self.sessions.sessions_max;
        writeln!(
            f,
            "sessions: up to {most}, each kept {grace_period} after its connection is lost"
        )?;
        for server in &self.upstream.servers {
            let mode = match server.mode {
                Mode::Multiplexed { links } => format!("all agents over {links} links"),
                Mode::PerAgent => "one connection an agent".to_owned(),
                Mode::Http { connections, poll_interval } => format!(
                    "POSTs over {connections} connections, each agent polled for every {}",
                    show_duration(poll_interval)
                ),
            };
            write!(f, "server:   {} at {}, {mode}", server.name, server.url)?;
            if !server.headers.is_empty() {
                let names: Vec<&str> =
                    server.headers.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, ", with {}", names.join(", "))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "leaving:  {}", leaving(self.drain.after_admission(self.edge.admission.rate)))?;
        write!(f, "metrics:  http://{}/metrics", self.admin.listen)
    }
}

/// Agents of the example.
const EXAMPLE: u64 = 8_000;

/// What a drain comes to.
fn leaving(terms: Terms) -> String {
    let (rate, time_max) = (u64::from(terms.rate().get()), terms.time_max);
    let within = u128::from(rate) * time_max.as_millis() / 1_000;
    // An automatic rate rises if it has to.
    let of_more = if terms.rate.is_some() {
        "after which the rest is closed at once"
    } else {
        "at a higher rate if there are more"
    };
    format!(
        "{} after readiness has turned false, up to {} agents a second: {} agents leave in about {} s, and \
         {} within {}, {of_more}",
        show_duration(terms.notice),
        thousands(rate.into()),
        thousands(EXAMPLE.into()),
        thousands(EXAMPLE.div_ceil(rate).into()),
        thousands(within),
        show_duration(time_max),
    )
}

/// `1234567` as `1,234,567`.
fn thousands(number: u128) -> String {
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
    use std::num::NonZeroU32;

    #[test]
    fn a_drain_is_told_in_words() {
        assert_eq!(
            leaving(Terms::default()),
            "5s after readiness has turned false, up to 1,000 agents a second: 8,000 agents leave in about 8 s, \
             and 300,000 within 5m, at a higher rate if there are more"
        );
        let set = Terms { rate: NonZeroU32::new(1_000), ..Terms::default() };
        assert!(leaving(set).ends_with("within 5m, after which the rest is closed at once"));
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
