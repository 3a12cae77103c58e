//! The rules, apart from ranks. Each takes a file and returns offsets with what is wrong there.

use crate::ranks;
use crate::source::{Source, words};
use crate::wording;

pub(crate) const FILE_LINES_MAX: usize = 600;
/// The same as `too-many-lines-threshold` in clippy.toml, which sees macros and closures better;
/// this one also sees code that other builds compile: the fuzz targets, and what a feature turns on.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

type Found = Vec<(usize, String)>;

/// Everything that is wrong with a file, as `path:line: what`.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let rules: [fn(&Source) -> Found; 8] =
        [ranks::check, size, functions, purity, opening, unsafe_code, leftovers, wording::check];
    let found = rules.iter().flat_map(|rule| rule(source));
    let show = |(at, what)| format!("{}:{}: {what}", source.path, source.line(at));
    found.map(show).collect()
}

fn size(source: &Source) -> Found {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![(0, format!("{lines} lines; the limit is {FILE_LINES_MAX}"))]
}

fn functions(source: &Source) -> Found {
    let long = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    let say =
        |lines, name| format!("`{name}` has {lines} lines; the limit is {FUNCTION_LINES_MAX}");
    long.map(|function| (function.offset, say(function.lines, function.name))).collect()
}

/// Words that the modules without IO keep out of, each with the one path that is allowed in `websocket`.
const IMPURE: [(&str, &str); 10] = [
    ("tokio", ""),
    ("tokio_tungstenite", "tokio_tungstenite::tungstenite"),
    ("crate::clock", ""),
    ("Instant::now", ""),
    ("SystemTime::now", ""),
    ("std::fs", ""),
    ("std::thread", ""),
    ("TcpStream", ""),
    ("rand", ""),
    ("metrics", ""),
];

fn purity(source: &Source) -> Found {
    let module = ranks::module(&source.path);
    if !matches!(module, Some("core" | "opamp" | "websocket")) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (word, allowed) in IMPURE {
        // The client's key of a WebSocket handshake and a frame's mask are random (RFC 6455).
        if word == "rand" && module == Some("websocket") {
            continue;
        }
        let excepted = |at: &usize| {
            let here = module == Some("websocket") && !allowed.is_empty();
            here && source.code[*at..].starts_with(allowed)
        };
        let bad = words(&source.code, word).filter(|at| !excepted(at) && !source.in_test(*at));
        found.extend(bad.map(|at| (at, format!("`{word}` in a module that must not know it"))));
    }
    found
}

fn opening(source: &Source) -> Found {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![(0, "must open with `//!`: what it owns, why, what it must not know".to_owned())]
}

/// Crate roots forbid `unsafe`. Fuzz targets are exempt, because their macro exports a symbol.
fn unsafe_code(source: &Source) -> Found {
    let is_root = match source.path.split('/').collect::<Vec<_>>().as_slice() {
        ["src", file] | ["loadtest" | "proof", "src", file] => {
            matches!(*file, "lib.rs" | "main.rs")
        }
        ["src" | "loadtest", .., "bin", _] => true,
        ["tests" | "benches", _] => true,
        ["loadtest", "tests" | "benches", _] => true,
        _ => false,
    };
    if !is_root || source.code.contains("#![forbid(unsafe_code)]") {
        return Vec::new();
    }
    vec![(0, "a crate's root must say `#![forbid(unsafe_code)]`".to_owned())]
}

/// What finished code is free of. Tests may unwrap, because what they unwrap they assert; an ignored
/// test is reported in tests as well.
fn leftovers(source: &Source) -> Found {
    let mut found = Vec::new();
    for word in ["todo!", "unimplemented!", "dbg!", ".unwrap()", ".unwrap_err()"] {
        let here = source.code.match_indices(word).map(|(at, _)| at);
        let bad = here.filter(|at| !source.in_test(*at));
        found.extend(bad.map(|at| (at, format!("`{word}` outside tests"))));
    }
    let ignored = source.code.match_indices("#[ignore");
    found.extend(ignored.map(|(at, _)| (at, "a test that is ignored proves nothing".to_owned())));
    found
}
