//! Snippets that break the rules, one by one: each must be reported.

use crate::rules::check;
use crate::source::{Source, blank, mark_test_files};

fn found(path: &str, text: &str) -> Vec<String> {
    check(&Source::new(path, text))
}

/// Asserts that the snippet is found wrong, once, at `line`, for the reason `what`.
fn is_reported(path: &str, text: &str, line: usize, what: &str) {
    let text = format!("//! A file.\n{text}");
    let found = found(path, &text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    assert!(found[0].starts_with(&format!("{path}:{line}: ")), "{found:?}");
    assert!(found[0].contains(what), "{found:?}");
}

fn is_fine(path: &str, text: &str) {
    assert_eq!(found(path, &format!("//! A file.\n{text}")), [""; 0]);
}

#[test]
fn imports_against_the_ranks() {
    is_reported("src/ident.rs", "use crate::core::X;", 2, "(rank 0) imports `core` (rank 2)");
    is_reported("src/edge/a.rs", "use crate::upstream::X;", 2, "(rank 5) imports `upstream`");
    is_reported("src/upstream/a.rs", "\nfn f() { crate::edge::g() }", 3, "imports `edge`");
    is_reported("src/core/a.rs", "use crate::{ident::X, edge::{A, B}};", 2, "imports `edge`");
    is_reported("src/config/mod.rs", "use seawall::gateway::run;", 2, "imports `gateway`");
    is_reported("src/colour/mod.rs", "", 1, "`colour` is not in the table");
    is_reported("src/edge/mod.rs", "use crate::colour::X;", 2, "`colour` is not in the table");
    is_fine("src/config/mod.rs", "use crate::edge::params::P; use crate::config::Y;");
    is_fine("src/edge/mod.rs", "// crate::gateway is far above\nconst X: &str = \"crate::main\";");
}

#[test]
fn climbing_to_the_root() {
    is_reported("src/edge/mod.rs", "use super::upstream::X;", 2, "reaches the crate's root");
    is_reported("src/edge/a.rs", "use super::super::upstream::X;", 2, "reaches the crate's root");
    is_fine("src/edge/a.rs", "use super::b::X;");
    is_fine("src/edge/mod.rs", "#[cfg(test)]\nmod tests { use super::X; }");
}

#[test]
fn files_and_functions_that_are_too_long() {
    is_reported("src/edge/a.rs", &"\n".repeat(600), 1, "601 lines; the limit is 600");
    is_fine("src/edge/a.rs", &"\n".repeat(599));
    let function = |lines| format!("fn f(a: [u8; 2]) {{\n{}}}\n", "g();\n".repeat(lines));
    is_reported("tests/a/b.rs", &function(71), 2, "`f` has 71 lines; the limit is 70");
    is_fine("tests/a/b.rs", &function(70));
    let commented = format!("fn f() {{\n{}}}\n", "// reasons\n".repeat(90));
    is_fine("src/edge/a.rs", &commented);
}

#[test]
fn a_core_that_knows_too_much() {
    is_reported("src/core/a.rs", "use tokio::time;", 2, "`tokio`");
    is_reported("src/core/a.rs", "fn f() { Instant::now() }", 2, "`Instant::now`");
    is_fine("src/core/a.rs", "fn f(now: Instant, date: SystemTime) {}");
    is_reported("src/opamp/a.rs", "use crate::clock::now;", 2, "`crate::clock`");
    is_reported("src/core/a.rs", "use tokio_tungstenite::tungstenite;", 2, "`tokio_tungstenite`");
    is_reported("src/websocket/a.rs", "use tokio_tungstenite::connect;", 2, "`tokio_tungstenite`");
    is_fine("src/websocket/a.rs", "use tokio_tungstenite::tungstenite::protocol;");
    is_fine("src/edge/a.rs", "use tokio::time;");
}

#[test]
fn openings_and_unsafe_code() {
    assert_eq!(found("src/edge/a.rs", "fn f() {}").len(), 1);
    let roots = ["src/lib.rs", "src/main.rs", "loadtest/src/main.rs", "tests/a.rs", "benches/a.rs"];
    for root in roots {
        is_reported(root, "// #![forbid(unsafe_code)]", 1, "#![forbid(unsafe_code)]");
        is_fine(root, "#![forbid(unsafe_code)]");
    }
}

#[test]
fn leftovers_outside_tests() {
    is_reported("src/edge/a.rs", "\nfn f() { x.unwrap(); }", 3, "`.unwrap()` outside tests");
    is_reported("src/edge/a.rs", "fn f() { todo!() }", 2, "`todo!` outside tests");
    is_reported("loadtest/src/a.rs", "fn f() { unimplemented!() }", 2, "`unimplemented!`");
    is_reported("tests/a/b.rs", "#[ignore = \"slow\"]", 2, "a test that is ignored");
    let code = "#[cfg(test)]\nmod tests {\n fn f() { x.unwrap(); }\n}\n";
    is_fine("src/edge/a.rs", code);
    is_reported("src/edge/a.rs", &format!("{code}fn g() {{ x.unwrap(); }}"), 6, "outside tests");
    is_fine("tests/a/b.rs", "fn f() { x.unwrap(); }");
}

#[test]
fn comments_that_make_a_reader_stumble() {
    is_reported("src/edge/a.rs", "\n/// Tells whoever asks.", 3, "`whoever` in a comment");
    is_reported("tests/a/b.rs", "// It waits for\n// want of a permit.", 2, "`for want of`");
    is_reported("src/edge/a.rs", "    //! Bytes: so\n    //! Many of them.", 2, "`so many`");
    is_fine("src/edge/a.rs", "const WHOEVER: &str = \"nobody\"; // somebody\n// Also manyfold.");
}

#[test]
fn files_declared_for_tests_are_tests() {
    let mut sources = [
        Source::new("src/core/mod.rs", "#[cfg(test)]\nmod sim;\nmod real;\n"),
        Source::new("src/opamp/a.rs", "#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n"),
        Source::new("src/opamp/a_tests.rs", ""),
        Source::new("src/core/sim/net.rs", ""),
        Source::new("src/core/real.rs", ""),
    ];
    mark_test_files(&mut sources);
    assert_eq!(sources.map(|source| source.is_test), [false, false, true, true, false]);
}

#[test]
fn comments_and_texts_are_not_code() {
    for (text, code) in [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        ("f(\"x \\\" y\") g", "f( ) g"),
        ("f(r#\"x \" y\"#) g", "f( ) g"),
        ("f('\"', '\\'') g", "f( , ) g"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("for r in x", "for r in x"),
    ] {
        let blanked = blank(text);
        assert_eq!(blanked.len(), text.len());
        assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), code);
    }
}
