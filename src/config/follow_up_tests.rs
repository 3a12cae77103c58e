//! A value that cannot be read is one mistake: what seems to follow from it is none.

use super::*;

const SERVER: &str = "[[upstream.servers]]\nurl = \"ws://10.0.0.5:4320\"\n";

/// The keys of the mistakes of a text.
fn keys(text: &str) -> Vec<String> {
    parse(text, &[]).expect_err("is wrong").0.into_iter().map(|mistake| mistake.key).collect()
}

#[test]
fn one_wrong_value_is_one_mistake() {
    for (text, key) in [
        (
            "[edge]\nmessage_bytes_max = \"1GiB\"\nbuffered_bytes_max = \"much\"",
            "edge.buffered_bytes_max",
        ),
        ("[admission]\nretry_min = \"5m\"\nretry_max = \"5 fortnights\"", "admission.retry_max"),
        ("[admission]\npark_horizon = \"25s\"\npark_ttl = \"x\"", "admission.park_ttl"),
        (
            "[[admission.clients]]\nuser_agent = \"a\"\nhold = \"15s\"\nwait = 20",
            "admission.clients[0].wait",
        ),
        ("[upstream]\npace_min = 200000\npace_max = \"a lot\"", "upstream.pace_max"),
        ("[upstream]\nbackoff_initial = \"50s\"\nbackoff_max = 60", "upstream.backoff_max"),
        (
            "[ownership]\nstore = \"radis\"\nadvertise = \"10.0.0.7:4319\"\n[ownership.redis]\naddresses = [\"a:1\"]",
            "ownership.store",
        ),
        (
            "[ownership]\nstore = \"redis\"\nadvertise = \"10.0.0.7:4319\"\n[ownership.redis]\naddresses = 7",
            "ownership.redis.addresses",
        ),
        (
            "[ownership]\nstore = \"redis\"\nadvertise = \"10.0.0.7:4319\"\n[ownership.redis]\naddresses = [\"a:1\"]\nmode = \"sentinels\"\nmaster = \"m\"",
            "ownership.redis.mode",
        ),
    ] {
        assert_eq!(keys(&format!("{text}\n{SERVER}")), [key], "{text}");
    }
}

#[test]
fn a_server_that_is_written_wrongly_is_not_missing() {
    for (text, key) in [
        ("[upstream]\nservers = \"ws://10.0.0.5\"", "upstream.servers"),
        ("[upstream]\nservers = [\"ws://10.0.0.5\"]", "upstream.servers[0]"),
        ("upstream = 5", "upstream"),
        ("[[upstream.server]]\nurl = \"ws://10.0.0.5\"", "upstream.server"),
        ("[[upstream.servers]]\nurl = 5", "upstream.servers[0].url"),
        (
            "[[upstream.servers]]\nurl = \"http://a\"\nmode = \"https\"\npoll_interval = \"9s\"",
            "upstream.servers[0].mode",
        ),
    ] {
        let found = keys(text);
        assert!(found.iter().all(|found| found.starts_with(key)), "{text}: {found:?}");
        assert!(!found.is_empty(), "{text}");
    }
    // What could not be read may be the server.
    assert_eq!(keys("[[upstream.servers]\nurl = \"ws://10.0.0.5\"\n"), [""]);
}
