//! Circles of imports: files of a crate that a reader has to understand together or else misses both.
//!
//! A module is a file. An edge leads from the file that names a path to the file that declares what
//! the path means; a name that a file only passes on (`pub use`) is followed to where it is declared.
//! A circle is a strongly connected part of that graph with more than one file.
//!
//! A folder and what is below it may name each other: `mod.rs` is the folder's face, and its files
//! share what stands there. Tests are left out: a reader of the code can pass them by.

use std::collections::{BTreeMap, BTreeSet};

use crate::syntax::{Named, Syntax};

type Module = Vec<String>;

/// The crates whose files are looked at: where they lie, and their root's file.
const CRATES: [(&str, &str); 4] =
    [("src/", "lib"), ("loadtest/src/", "main"), ("proof/src/", "main"), ("tests/sim/", "main")];

/// How often a name may be passed on before it is given up: circles among `pub use` end here.
const HOPS_MAX: usize = 10;

/// Files of one crate by module.
struct Crate<'a> {
    files: BTreeMap<Module, &'a Syntax>,
}

/// All circles, each as the files in it.
pub(crate) fn circles(files: &[Syntax]) -> Vec<Vec<String>> {
    CRATES.iter().flat_map(|(folder, root)| Crate::new(files, folder, root).circles()).collect()
}

impl<'a> Crate<'a> {
    fn new(files: &'a [Syntax], folder: &str, root: &str) -> Self {
        let module = |file: &Syntax| {
            let inner = file.path.strip_prefix(folder)?.strip_suffix(".rs")?;
            let inner = inner.strip_suffix("/mod").unwrap_or(inner);
            let parts = inner.split('/').map(str::to_owned);
            Some(if inner == root { Vec::new() } else { parts.collect() })
        };
        let files = files.iter().filter_map(|file| Some((module(file)?, file)));
        Self { files: files.collect() }
    }

    fn circles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, reach(&edges, module))).collect();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (module, beyond) in &reached {
            let circle: Vec<&Module> =
                beyond.iter().copied().filter(|other| reached[*other].contains(module)).collect();
            if circle.len() > 1 && circle.iter().all(|member| seen.insert(*member)) {
                found.push(circle.iter().map(|member| self.files[*member].path.clone()).collect());
            }
        }
        found
    }

    fn edges(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let mut edges: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        for (from, file) in &self.files {
            for named in file.named.iter().filter(|named| !passes_on(named)) {
                let to = self.absolute(from, named).and_then(|path| self.declaring(path));
                if let Some(to) = to.filter(|to| !to.starts_with(from) && !from.starts_with(to)) {
                    edges.entry(from).or_default().insert(to);
                }
            }
        }
        edges
    }

    /// A path from the crate's root, if it begins in the crate.
    fn absolute(&self, from: &Module, named: &Named) -> Option<Module> {
        let mut base: Module = from.iter().chain(&named.inside).cloned().collect();
        let mut segments = named.segments.as_slice();
        match segments.first()?.as_str() {
            "crate" => {
                base.clear();
                segments = &segments[1..];
            }
            "self" => segments = &segments[1..],
            "super" => {
                while segments.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    segments = &segments[1..];
                }
            }
            child => {
                let below: Module = base.iter().cloned().chain([child.to_owned()]).collect();
                self.files.get(&below)?;
            }
        }
        base.extend_from_slice(segments);
        Some(base)
    }

    /// The longest beginning of a path that is a file, and the rest.
    fn split<'p>(&self, path: &'p [String]) -> Option<(&Module, &'p [String])> {
        let length =
            (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(length?);
        Some((self.files.get_key_value(module)?.0, rest))
    }

    /// The file that declares what a path names, found through the files that pass the name on.
    fn declaring(&self, mut path: Module) -> Option<&Module> {
        for _ in 0..HOPS_MAX {
            let (module, rest) = self.split(&path)?;
            let Some((item, inner)) = rest.split_first() else { return Some(module) };
            let Some(next) = self.passed_on(module, item) else { return Some(module) };
            path = next.into_iter().chain(inner.iter().cloned()).collect();
        }
        None
    }

    /// Where a name of a file comes from, unless the file declares it itself.
    fn passed_on(&self, module: &Module, item: &str) -> Option<Module> {
        let file = self.files.get(module)?;
        if declares(file, item) {
            return None;
        }
        file.named.iter().find_map(|named| {
            let (alias, _) = named.alias.as_ref()?;
            let mut path = self.absolute(module, named)?;
            if alias == "*" {
                path.push(item.to_owned());
                let (origin, _) = self.split(&path)?;
                return declares(self.files[origin], item).then_some(path);
            }
            (alias == item).then_some(path)
        })
    }
}

/// Whether a path is only named so that others find it here.
fn passes_on(named: &Named) -> bool {
    named.alias.as_ref().is_some_and(|(_, public)| *public)
}

fn declares(file: &Syntax, item: &str) -> bool {
    file.declared.iter().any(|declared| declared.name == item)
        || file.heads.iter().any(|head| head.name == item)
}

fn reach<'a>(
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    seen
}
