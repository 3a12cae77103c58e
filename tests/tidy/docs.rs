//! What the documents say of the code is true: the table of ranks, the names of tests, the commands.
//!
//! Names in back-ticks are checked. A name of four words or more must be a function, as only tests
//! have such names; one of three words may also be a key, a field or a constant. Files, types and
//! sentences are left to their readers.

use std::collections::BTreeSet;
use std::fs;

use crate::ranks::RANKS;
use crate::source::{Source, words};
use crate::{root, sources};

/// Documents whose laws each name the test that holds it.
const LAWS: [&str; 3] = ["docs/ARCHITECTURE.md", "docs/INVARIANTS.md", "docs/PROTOCOL.md"];

/// Where a name of three words may stand apart from Rust sources.
const NAMED_ELSEWHERE: [&str; 2] = ["proto/opamp/v1/opamp.proto", "config/seawall.toml"];

/// Every metric begins like this; docs/METRICS.md is compared with them by a test of its own.
const METRIC: &str = "seawall_";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// The map that people read must be the table that is enforced.
#[test]
fn architecture_shows_the_ranks() {
    let text = read("docs/ARCHITECTURE.md");
    for (module, rank) in RANKS {
        let row = text.lines().any(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            cells.next() == Some(&rank.to_string())
                && cells.next().is_some_and(|cell| cell.contains(&format!("`{module}")))
        });
        assert!(row, "docs/ARCHITECTURE.md has no row with rank {rank} and `{module}`");
    }
}

/// A law names the test that holds it; the name must be one.
#[test]
fn documents_name_tests_that_exist() {
    let sources = sources();
    let names = Names::new(&sources);
    let mut wrong = Vec::new();
    let mut named = 0;
    for path in LAWS {
        let text = read(path);
        let cited = cited(&text);
        named += cited.len();
        let missing = cited.into_iter().filter(|name| !names.has(name));
        wrong.extend(missing.map(|name| format!("{path}: {name}")));
    }
    assert!(named > 50, "the documents name {named} tests");
    assert!(wrong.is_empty(), "these are names of nothing: {wrong:#?}");
}

#[test]
fn only_names_that_are_cited_and_missing_are_reported() {
    let sources = [Source::new(
        "src/a.rs",
        "fn it_does_what_it_says() {}\nconst X: &str = \"queue_bytes_max\"; // not_in_code",
    )];
    let names = Names::new(&sources);
    let text = "`it_does_what_it_says`, `queue_bytes_max`, `it_does_something_else`, `not_in_code`, \
                 `seawall_edge_closed_connections_total`, `a_b`, `A_b_c`, a_b_c_d, `fn x_y_z()`";
    let missing: Vec<&str> = cited(text).into_iter().filter(|name| !names.has(name)).collect();
    assert_eq!(missing, ["it_does_something_else", "not_in_code"]);
}

/// Names in back-ticks that are made of three words or more.
fn cited(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        name.bytes().all(part) && name.matches('_').count() >= 2 && !name.starts_with(METRIC)
    };
    quoted.filter(is_name).collect()
}

/// What the sources name.
struct Names<'a> {
    functions: BTreeSet<&'a str>,
    sources: &'a [Source],
    elsewhere: String,
}

impl<'a> Names<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let functions = sources.iter().flat_map(Source::functions).map(|function| function.name);
        let elsewhere = NAMED_ELSEWHERE.iter().map(|path| read(path)).collect();
        Self { functions: functions.collect(), sources, elsewhere }
    }

    fn has(&self, name: &str) -> bool {
        let is_short = name.matches('_').count() == 2;
        self.functions.contains(name) || is_short && self.mentions(name)
    }

    fn mentions(&self, name: &str) -> bool {
        let in_source = |source: &Source| {
            words(&source.text, name).any(|at| {
                let start = source.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                !source.text[start..at].contains("//")
            })
        };
        words(&self.elsewhere, name).next().is_some() || self.sources.iter().any(in_source)
    }
}
