//! Style that a machine can check: ranks, sizes, the core's ignorance of sockets and clocks.
//!
//! Everything is reported at once, as `file:line: what`. Rules are in `tidy/rules.rs`; each has a
//! snippet in `tidy/violations.rs` that breaks it, so that each checker is seen to complain. What
//! documents and commands say of the code is checked in `tidy/docs.rs` and `tidy/commands.rs`; the
//! figures with goals are in `tidy/figures/`.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/figures/mod.rs"]
mod figures;
#[path = "tidy/ranks.rs"]
mod ranks;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/syntax.rs"]
mod syntax;
#[path = "tidy/violations.rs"]
mod violations;
#[path = "tidy/wording.rs"]
mod wording;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Where Rust is written. `fuzz/` is a workspace of its own, but the same rules hold.
const FOLDERS: [&str; 6] = ["src", "loadtest", "proof", "tests", "benches", "fuzz"];

/// The repository; for `make figures ROOT=DIR` another tree.
fn root() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("FIGURES_ROOT").map_or_else(own, PathBuf::from)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = vec![root().join("build.rs")];
    for folder in FOLDERS {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(root()).unwrap().to_str().unwrap();
        Source::new(relative, &fs::read_to_string(path).unwrap())
    };
    let mut sources: Vec<Source> = paths.iter().map(read).collect();
    source::mark_test_files(&mut sources);
    sources
}

#[test]
fn sources_are_tidy() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    let found: Vec<String> = sources.iter().flat_map(rules::check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
