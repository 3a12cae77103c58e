//! How big types are, and which names are given to two of them.
//!
//! All blocks of a type in its crate are one type's methods, in whatever files they stand and of
//! whatever trait they are. Which type of a name a block is for: the one of its own file, else the
//! one whose file is nearest.

use std::collections::BTreeMap;

use crate::syntax::Syntax;

/// A type with what it weighs.
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) methods: usize,
    pub(crate) fields: usize,
}

/// Every type that is compiled outside of tests, with the methods of all its blocks.
pub(crate) fn weights(files: &[Syntax]) -> Vec<Weight> {
    let mut found: Vec<Weight> = Vec::new();
    let mut by_name: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for file in files {
        for declared in file.declared.iter().filter(|declared| !declared.is_test) {
            by_name.entry((package(&file.path), &declared.name)).or_default().push(found.len());
            let (name, path) = (declared.name.clone(), file.path.clone());
            found.push(Weight { name, path, methods: 0, fields: declared.fields });
        }
    }
    for file in files {
        for block in &file.blocks {
            let named = by_name.get(&(package(&file.path), &block.name)).into_iter().flatten();
            if let Some(of) = named.max_by_key(|index| shared(&found[**index].path, &file.path)) {
                found[*of].methods += block.methods;
            }
        }
    }
    found
}

/// Names that more than one type of these folders has, tests' types included, with where.
pub(crate) fn names_twice(files: &[Syntax], folders: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| folders.iter().any(|f| file.path.starts_with(f))) {
        for declared in &file.declared {
            let places = names.entry(&declared.name).or_default();
            places.push(format!("{}:{}", file.path, declared.line));
        }
    }
    let twice = names.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|(name, places)| (name.to_owned(), places)).collect()
}

fn package(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// The length of the beginning that two paths share.
fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}
