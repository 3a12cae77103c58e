//! Environment variables laid over the file: `SEAWALL_EDGE__PATHS=/x` is `edge.paths = "/x"`,
//! `SEAWALL_UPSTREAM__SERVERS__0__URL` is the first server's `url`.
//!
//! Two underscores join the parts of a key, and every key stands in a section, so only a variable with two
//! of them is Seawall's. That matters: in a Kubernetes namespace with a service named `seawall`, every pod
//! has `SEAWALL_SERVICE_HOST` and the like. Must not know which keys there are.

use std::collections::BTreeSet;

use super::mistake::{Mistake, ValueOrigin};
use super::tree::{RawNode, RawTable, RawValue};

const PREFIX: &str = "SEAWALL_";
const SEPARATOR: &str = "__";

/// Lays the variables over `table`. In order of name, so that a server's place 0 comes before 1.
pub(super) fn overlay(
    variables: &[(String, String)],
    table: &mut RawTable,
    mistakes: &mut Vec<Mistake>,
) {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    for (name, text) in ours {
        let path = name[PREFIX.len()..].to_ascii_lowercase();
        if !path.contains(SEPARATOR) {
            continue;
        }
        let words: Vec<&str> = path.split(SEPARATOR).collect();
        let origin = ValueOrigin::Variable(name.clone());
        let node = RawNode { value: RawValue::Text(text.clone()), origin: origin.clone() };
        if let Err(message) = insert(table, &words, node) {
            mistakes.push(Mistake { key: words.join("."), origin, message });
        }
    }
}

/// The variable that stands for a key: `SEAWALL_EDGE__PATHS` for `edge.paths`.
pub(super) fn variable(key: &str) -> String {
    PREFIX.to_owned() + &key.replace("[]", ".0").to_ascii_uppercase().replace('.', SEPARATOR)
}

/// Variables that lack only the second underscore: `SEAWALL_EDGE_PATH`.
pub(super) fn misspelt(variables: &[(String, String)], known: &BTreeSet<String>) -> Vec<Mistake> {
    let spelling = |key: &String| {
        let right = variable(key);
        (right.replace(SEPARATOR, "_"), right)
    };
    let spellings: Vec<_> = known.iter().map(spelling).collect();
    let mistake = |(name, _): &(String, String)| {
        let (_, right) = spellings.iter().find(|(wrong, right)| wrong == name && right != name)?;
        Some(Mistake {
            key: String::new(),
            origin: ValueOrigin::Variable(name.clone()),
            message: format!("not a known variable; did you mean {right}?"),
        })
    };
    variables.iter().filter_map(mistake).collect()
}

fn insert(table: &mut RawTable, words: &[&str], node: RawNode) -> Result<(), String> {
    let [word, rest @ ..] = words else { return Ok(()) };
    if word.is_empty() {
        return Err("a word of the path is empty".to_owned());
    }
    if rest.is_empty() {
        table.insert((*word).to_owned(), node);
        return Ok(());
    }
    let entry = table.entry((*word).to_owned()).or_insert_with(|| RawNode {
        value: match rest[0].parse::<usize>() {
            Ok(_) => RawValue::List(Vec::new()),
            Err(_) => RawValue::Table(RawTable::new()),
        },
        origin: node.origin.clone(),
    });
    match &mut entry.value {
        RawValue::Table(inner) => insert(inner, rest, node),
        RawValue::List(items) => insert_item(items, rest, node),
        other => Err(format!("`{word}` is {}, which has no parts", other.kind())),
    }
}

fn insert_item(items: &mut Vec<RawNode>, words: &[&str], node: RawNode) -> Result<(), String> {
    let [place, rest @ ..] = words else { return Ok(()) };
    let index: usize = place.parse().map_err(|_| format!("`{place}` is not a place in a list"))?;
    if index > items.len() {
        return Err(format!("place {index} leaves a gap: the list has {} entries", items.len()));
    }
    if index == items.len() {
        let value = RawValue::Table(RawTable::new());
        items.push(RawNode { value, origin: node.origin.clone() });
    }
    match &mut items[index].value {
        _ if rest.is_empty() => items[index] = node,
        RawValue::Table(inner) => return insert(inner, rest, node),
        other => return Err(format!("entry {index} is {}, which has no parts", other.kind())),
    }
    Ok(())
}
