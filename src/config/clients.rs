//! `[[admission.clients]]`: kinds of clients that the operator knows. Must not know what is done about them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use crate::core::admission::{
    CLIENT_RULES_MAX, ClientPatience, ClientRule, ClientTransport, RefusalForm,
};

/// A client that waits for less can be told nothing; longer than a day is a mistake in the unit.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
/// What a client waits for of which the operator says nothing.
const WAIT_DEFAULT: Duration = Duration::from_secs(8);
/// No `User-Agent` is longer.
const USER_AGENT_BYTES_MAX: usize = 256;

/// All of them, in their order.
pub(super) fn clients(section: &mut Section<'_>) -> Vec<ClientRule> {
    let sections = section.sections("clients");
    if sections.is_empty() {
        section.learn_entry("clients", |entry| drop(client(entry)));
    } else if sections.len() > CLIENT_RULES_MAX {
        section.report("clients", format!("more than {CLIENT_RULES_MAX} kinds of clients"));
    }
    let mut rules: Vec<ClientRule> = Vec::new();
    for mut section in sections {
        let Some(rule) = client(&mut section) else { continue };
        let hides = |earlier: &ClientRule| {
            let any = earlier.transport.is_none() || earlier.transport == rule.transport;
            any && rule.user_agent.starts_with(&earlier.user_agent)
        };
        if let Some(earlier) = rules.iter().find(|earlier| hides(earlier)) {
            let text =
                format!("never counts: \"{}\" before it takes its clients", earlier.user_agent);
            section.report("user_agent", text);
        }
        rules.push(rule);
    }
    rules
}

fn client(section: &mut Section<'_>) -> Option<ClientRule> {
    let given = section.has("user_agent");
    let user_agent = section.text("user_agent", user_agent);
    if !given {
        section
            .report_missing("user_agent", "is missing: what the client's User-Agent begins with");
    }
    let transports = [
        ("http", Some(ClientTransport::Http)),
        ("websocket", Some(ClientTransport::WebSocket)),
        ("any", None),
    ];
    let transport = section.choice("transport", &transports).flatten();
    let wait = section.duration("wait", WAIT).unwrap_or(WAIT_DEFAULT);
    let hold = section.duration("hold", Duration::ZERO..=*WAIT.end()).unwrap_or_default();
    if hold > wait && section.are_sound(&["wait", "hold"]) {
        section.report("hold", "is longer than wait: the client would be gone");
    }
    let forms = [("503", RefusalForm::Status), ("unavailable", RefusalForm::Message)];
    let refusal = section.choice("refusal", &forms).unwrap_or_default();
    let patience = ClientPatience::new(wait, hold).refused_by(refusal);
    Some(ClientRule { user_agent: user_agent?, transport, patience })
}

fn user_agent(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.is_empty() || text.starts_with(' ') {
        return Err("must name a client: as it stands it would fit every one".to_owned());
    }
    if text.len() > USER_AGENT_BYTES_MAX || !text.bytes().all(fits) {
        return Err(format!("must be up to {USER_AGENT_BYTES_MAX} printable characters of ASCII"));
    }
    Ok(text.to_owned())
}
