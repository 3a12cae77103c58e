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
const LAWS: [&str; 4] =
    ["docs/ARCHITECTURE.md", "docs/INVARIANTS.md", "docs/OWNERSHIP.md", "docs/PROTOCOL.md"];

/// Where a name of three words may stand apart from Rust sources.
const NAMED_ELSEWHERE: [&str; 2] = ["proto/opamp/v1/opamp.proto", "config/seawall.toml"];

/// Every metric begins like this; docs/METRICS.md is compared with them by a test of its own.
const METRIC: &str = "seawall_";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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

/// A variable that is named where people or scripts read it is a key of the configuration.
#[test]
fn variables_that_are_named_are_keys() {
    let sample = read("config/seawall.toml");
    let mut texts: Vec<(String, String)> =
        ["README.md", "CONTRIBUTING.md", "Makefile", "Dockerfile"]
            .map(|path| (path.to_owned(), read(path)))
            .into();
    // The configuration's own tests name keys that are wrong.
    let sources = sources().into_iter().filter(|source| !source.path.starts_with("src/config/"));
    texts.extend(sources.map(|source| (source.path, source.text)));
    let mut wrong = Vec::new();
    let mut named = 0;
    for (path, text) in &texts {
        for variable in variables(text) {
            named += 1;
            if !is_key(&sample, variable) {
                wrong.push(format!("{path}: {variable}"));
            }
        }
    }
    assert!(named > 10, "{named} variables are named");
    assert!(wrong.is_empty(), "these are keys of nothing: {wrong:#?}");
}

#[test]
fn a_variable_is_a_key_if_each_part_of_it_is_in_the_sample() {
    let sample = "[sessions]\n# grace_period = \"60s\"\n[[upstream.servers]]\nurl = \"\"";
    let text = "SEAWALL_SESSIONS__GRACE_PERIOD=2m SEAWALL_UPSTREAM__SERVERS__0__URL, SEAWALL_SESSIONS__\
                LINGER MY_SEAWALL_A__B SEAWALL_CONFIG SEAWALL_NO__SUCH";
    let found: Vec<_> = variables(text).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    let keys: Vec<bool> = found.into_iter().map(|variable| is_key(sample, variable)).collect();
    assert_eq!(keys, [true, true, false, false]);
}

/// Variables of the configuration in a text: two words or more with two underscores between them.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(move |c| !part(c))
        .filter(|word| word.starts_with("SEAWALL_") && word.trim_end_matches('_').contains("__"))
}

fn is_key(sample: &str, variable: &str) -> bool {
    let path = variable["SEAWALL_".len()..].to_lowercase();
    let parts = path.split("__").filter(|part| !part.bytes().all(|b| b.is_ascii_digit()));
    parts.into_iter().all(|part| words(sample, part).next().is_some())
}

/// A proof runs tests by the beginning of their names; a name that nothing has would run nothing.
#[test]
fn proofs_name_tests_that_exist() {
    let sources = sources();
    let names = Names::new(&sources);
    let proofs = sources.iter().filter(|source| source.path.starts_with("proof/src/points/"));
    let texts = proofs.flat_map(|source| source.text.split('"').skip(1).step_by(2));
    let filters: Vec<&str> = texts.filter(|text| is_name(text, 3)).collect();
    assert!(filters.len() > 1, "{filters:?}");
    for filter in filters {
        let begins = names.functions.iter().any(|name| name.starts_with(filter));
        assert!(begins, "a proof runs `{filter}`, which is the beginning of no test");
    }
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
    quoted.filter(|name| is_name(name, 2) && !name.starts_with(METRIC)).collect()
}

/// Whether this is a name of small letters with at least `underscores` underscores.
fn is_name(text: &str, underscores: usize) -> bool {
    let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.bytes().all(part) && text.matches('_').count() >= underscores
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
