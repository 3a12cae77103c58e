//! What to say about an unknown key: its successor, its section, or the key that it resembles. Must not know
//! where the key was written.

use std::collections::BTreeSet;

/// Keys of earlier versions and their successors: to rename a key, add a line here. An entry stays for
/// good, because it tells an operator, years later, what to write instead.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("admission.kept_max", "admission.reservations_max"),
    ("admission.wait_max", "admission.retry_max"),
    ("edge.path", "edge.paths"),
    ("sessions.linger", "sessions.grace_period"),
    ("upstream.resync_rate", "upstream.pace_max"),
];

/// Keys of earlier versions that have no successor, and what holds instead. An entry stays for good, too.
const REMOVED: &[(&str, &str)] =
    &[("edge.gzip_ratio_max", "removed; edge.message_bytes_max alone bounds what a body grows to")];

/// What to say of a key of an earlier version that is gone.
pub(super) fn removed(path: &str) -> Option<&'static str> {
    REMOVED.iter().find(|(old, _)| *old == path).map(|(_, instead)| *instead)
}

/// The key that took the place of the key `path`, which an earlier version had.
pub(super) fn successor(path: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == path).map(|(_, new)| *new)
}

/// Says what is wrong with the unknown key `path` (`[]` for any place in a list).
pub(super) fn unknown(path: &str, known: &BTreeSet<String>) -> String {
    let (section, word) = path.rsplit_once('.').unwrap_or(("", path));
    let of = |key: &str| key.rsplit_once('.').map_or((String::new(), key.to_owned()), own);
    let keys: Vec<(String, String)> = known.iter().map(|key| of(key)).collect();
    let here = keys.iter().filter(|(place, _)| place == section);
    let nearest = here.map(|(_, key)| (distance(word, key), key)).min();
    match nearest {
        Some((edits, key)) if edits <= 1 + word.len() / 4 => {
            return format!("not a known key; did you mean `{key}`?");
        }
        _ => {}
    }
    let mut places: Vec<String> =
        keys.iter().filter(|(_, key)| key == word).map(|(place, _)| header(place)).collect();
    places.dedup();
    match places.as_slice() {
        [] => "not a known key".to_owned(),
        places => format!("not a known key here; it belongs in {}", places.join(" or ")),
    }
}

/// A section as TOML writes it: `[edge]`, `[[upstream.servers]]`.
fn header(section: &str) -> String {
    match section.strip_suffix("[]") {
        Some(list) => format!("[[{list}]]"),
        None => format!("[{section}]"),
    }
}

fn own((place, key): (&str, &str)) -> (String, String) {
    (place.to_owned(), key.to_owned())
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_told_where_to_go() {
        let known = ["edge.paths", "edge.ping_interval", "sessions.grace_period"];
        let known = known.map(str::to_owned).into();
        let say = |path| unknown(path, &known);
        assert_eq!(say("edge.ping_intervall"), "not a known key; did you mean `ping_interval`?");
        assert_eq!(say("edge.grace_period"), "not a known key here; it belongs in [sessions]");
        assert_eq!(say("edge.colour"), "not a known key");
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
