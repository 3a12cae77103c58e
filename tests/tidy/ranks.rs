//! The rank table: a module imports only from lower ranks. docs/ARCHITECTURE.md shows the same table,
//! and a test in `docs.rs` compares the two.

use crate::source::{Source, words};

/// Modules by rank. Two modules of the same rank keep apart.
pub(crate) const RANKS: [(&str, u8); 21] = [
    ("ident", 0),
    ("clock", 0),
    ("mutation", 0),
    ("opamp", 1),
    ("websocket", 1),
    ("core", 2),
    ("telemetry", 3),
    ("scratch", 3),
    ("connect", 3),
    ("tls", 3),
    ("ownership", 4),
    ("sessions", 4),
    ("store", 3),
    ("cluster", 5),
    ("edge", 5),
    ("upstream", 5),
    ("admin", 6),
    ("fleet", 6),
    ("config", 7),
    ("gateway", 8),
    ("main", 9),
];

fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// The module of the gateway's crate that a file belongs to; `None` for `lib.rs` and for other crates.
pub(crate) fn module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let module = rest.split_once('/').map_or(rest.trim_end_matches(".rs"), |(folder, _)| folder);
    (module != "lib").then_some(module)
}

/// The modules that a file names, with where it does.
pub(crate) fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for root in ["crate::", "seawall::"] {
        let starts =
            words(code, root.trim_end_matches(':')).filter(|at| code[*at..].starts_with(root));
        for offset in starts {
            let rest = &code[offset + root.len()..];
            let names = if rest.starts_with('{') { group(rest) } else { vec![word(rest)] };
            found.extend(names.into_iter().map(|name| (offset, name.to_owned())));
        }
    }
    found
}

fn word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first words of `{a::b, c::{d, e}}`: a, c.
fn group(text: &str) -> Vec<&str> {
    let (mut depth, mut found) = (0, Vec::new());
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(byte, b'{' | b',') {
            found.push(word(&text[offset + 1..]));
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Reports what a file imports from its own rank or above.
pub(crate) fn check(source: &Source) -> Vec<(usize, String)> {
    let Some(module) = module(&source.path) else { return Vec::new() };
    let Some(own) = rank(module) else {
        return vec![(0, format!("`{module}` is not in the table of ranks (tests/tidy/ranks.rs)"))];
    };
    let mut found = escapes(source);
    for (offset, name) in imports(source) {
        if name == module {
            continue;
        }
        match rank(&name) {
            Some(rank) if rank < own => {}
            Some(rank) => found
                .push((offset, format!("`{module}` (rank {own}) imports `{name}` (rank {rank})"))),
            None => found.push((offset, format!("`{name}` is not in the table of ranks"))),
        }
    }
    found
}

/// `super::super::x` that climbs to the crate's root would pass the table by.
fn escapes(source: &Source) -> Vec<(usize, String)> {
    let inner = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    let depth = inner.trim_end_matches("/mod").split('/').count();
    let modules = source.inline_modules();
    let chains = words(&source.code, "super").filter(|at| !source.code[..*at].ends_with("super::"));
    let climbs = |at: &usize| {
        let count = source.code[*at..].split("::").take_while(|part| *part == "super").count();
        count >= depth + modules.iter().filter(|(range, _)| range.contains(at)).count()
    };
    let is_path = |at: &usize| source.code[*at..].starts_with("super::");
    let reached = chains.filter(is_path).filter(climbs);
    reached
        .map(|at| (at, "`super::` reaches the crate's root: write `crate::`".to_owned()))
        .collect()
}
