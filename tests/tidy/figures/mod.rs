//! The figures that the sources are judged by, as a table with goals: `make figures`.
//!
//! Each figure is a number, what it may be at most or must be at least, and the places that stand for
//! it. `1af75eb` is the commit before the sources were put in order; its figures were counted by this
//! same code and stand beside today's. `FIGURES_ROOT=DIR` counts another tree's.

mod circles;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod words;

use crate::rules::{FILE_LINES_MAX, FUNCTION_LINES_MAX};
use crate::source::Source;
use crate::syntax::Syntax;
use table::{Figure, Goal, report};
use words::Measure;

const PARAMETERS_MAX: usize = 5;

/// The folders whose types have a limit of their own.
const LIMITED: [&str; 4] = ["src/core/", "src/sessions/", "src/upstream/", "src/edge/"];
const METHODS_MAX: f64 = 40.0;
const FIELDS_MAX: f64 = 15.0;
const NAMES_TWICE_MAX: f64 = 10.0;
const VAGUE_MAX: f64 = 0.3;
const NEGATIVE_MAX: f64 = 15.0;

/// Every figure with its goal.
fn figures(sources: &[Source]) -> Vec<Figure> {
    let files: Vec<Syntax> = sources.iter().map(Syntax::read).collect();
    let mut all = sizes(sources, &files);
    all.extend(structure(&files));
    all.extend(comments(sources));
    all
}

fn figure(what: &'static str, before: f64, goal: Goal, places: Vec<String>) -> Figure {
    Figure { what, value: count(places.len()), before, goal, places }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

fn sizes(sources: &[Source], files: &[Syntax]) -> Vec<Figure> {
    let lines = |source: &Source| source.text.lines().count();
    let total = sources.iter().map(lines).sum();
    let big = sources.iter().filter(|source| lines(source) > FILE_LINES_MAX);
    let big = big.map(|source| format!("{} {}", lines(source), source.path)).collect();
    let mut long = Vec::new();
    for source in sources {
        let functions = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
        long.extend(functions.map(|f| format!("{} {} in {}", f.lines, f.name, source.path)));
    }
    let mut wide = Vec::new();
    for file in files {
        let heads = file.heads.iter().filter(|head| head.parameters > PARAMETERS_MAX);
        wide.extend(heads.map(|head| {
            format!("{} {} in {}:{}", head.parameters, head.name, file.path, head.line)
        }));
    }
    vec![
        Figure { value: count(sources.len()), ..figure("files", 367.0, Goal::None, Vec::new()) },
        Figure { value: count(total), ..figure("lines", 58086.0, Goal::None, Vec::new()) },
        figure("files of more than 600 lines", 0.0, Goal::AtMost(0.0), big),
        figure("functions of more than 70 lines", 0.0, Goal::AtMost(0.0), long),
        figure(
            "functions of more than 5 parameters, a tuple's members counted",
            4.0,
            Goal::AtMost(0.0),
            wide,
        ),
    ]
}

fn structure(files: &[Syntax]) -> Vec<Figure> {
    let mut limited = types::weights(files);
    limited.retain(|kind| LIMITED.iter().any(|folder| kind.path.starts_with(folder)));
    let mut biggest = |what, before, most, weight: fn(&types::Weight) -> usize| {
        limited.sort_by_key(|kind| std::cmp::Reverse(weight(kind)));
        let show =
            |kind: &types::Weight| format!("{} {} in {}", weight(kind), kind.name, kind.path);
        let places = limited.iter().take(3).map(show).collect();
        let value = count(limited.first().map_or(0, weight));
        Figure { value, ..figure(what, before, Goal::AtMost(most), places) }
    };
    let methods = biggest(
        "methods of the biggest type of core, sessions, upstream, edge",
        110.0,
        METHODS_MAX,
        |kind| kind.methods,
    );
    let fields = biggest("fields of the biggest of them", 23.0, FIELDS_MAX, |kind| kind.fields);
    let circles = circles::circles(files).into_iter().map(|circle| circle.join(", "));
    let twice = |folders: &[&str]| -> Vec<String> {
        let names = types::names_twice(files, folders).into_iter();
        names.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
    };
    let with_loadtest = count(twice(&["src/", "loadtest/src/"]).len());
    vec![
        methods,
        fields,
        figure("circles of imports", 10.0, Goal::AtMost(0.0), circles.collect()),
        figure(
            "names of more than one type of src",
            45.0,
            Goal::AtMost(NAMES_TWICE_MAX),
            twice(&["src/"]),
        ),
        Figure {
            value: with_loadtest,
            ..figure("the same with loadtest's", 71.0, Goal::None, Vec::new())
        },
    ]
}

/// Figures of comments, first where most readers are, then everywhere.
fn comments(sources: &[Source]) -> Vec<Figure> {
    let all: Vec<&Source> = sources.iter().collect();
    let is_product = |path: &str| path.starts_with("src/") || path.starts_with("loadtest/");
    let product: Vec<&Source> = all.iter().copied().filter(|s| is_product(&s.path)).collect();
    let vague = |what, before, of: &[&Source]| Figure {
        value: Measure::Vague.of(of),
        ..figure(what, before, Goal::Below(VAGUE_MAX), Measure::Vague.worst(of))
    };
    let negative = |what, before, of: &[&Source]| Figure {
        value: Measure::Negative.of(of),
        ..figure(what, before, Goal::Below(NEGATIVE_MAX), Measure::Negative.worst(of))
    };
    let richness = |what, before, of: &[&Source]| Figure {
        value: Measure::Richness.of(of),
        ..figure(what, before, Goal::AtLeast(before), Measure::Richness.worst(of))
    };
    vec![
        vague("src and loadtest: vague words in 1,000 of comments", 5.88, &product),
        negative("src and loadtest: negations in 1,000", 28.24, &product),
        richness("src and loadtest: words for each line of code", 1.6, &product),
        vague("everywhere: vague words in 1,000 of comments", 5.64, &all),
        negative("everywhere: negations in 1,000", 27.61, &all),
        richness("everywhere: words for each line of code", 1.479, &all),
    ]
}

/// Prints the table, and fails if a goal is missed. `make figures` runs this test alone.
#[test]
fn figures_meet_their_goals() {
    let sources = crate::sources();
    assert!(sources.len() > 300, "the sources were not found");
    let figures = figures(&sources);
    println!("{}", report(&figures));
    let missed: Vec<&str> =
        figures.iter().filter(|figure| !figure.is_met()).map(|figure| figure.what).collect();
    assert!(missed.is_empty(), "missed: {}", missed.join("; "));
}
