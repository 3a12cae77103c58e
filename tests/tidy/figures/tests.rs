//! Small trees whose figures are known: each counter must find what was put there, and only that.

use super::circles::circles;
use super::table::{Figure, Goal, report};
use super::types::{names_twice, weights};
use super::words::Measure;
use crate::source::{Source, mark_test_files};
use crate::syntax::Syntax;

fn read(files: &[(&str, &str)]) -> Vec<Syntax> {
    let mut sources: Vec<Source> =
        files.iter().map(|(path, text)| Source::new(path, text)).collect();
    mark_test_files(&mut sources);
    sources.iter().map(Syntax::read).collect()
}

fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    circles(&read(files))
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let there = ("src/a/b.rs", "use super::c::C; pub struct B;");
    for back in [
        "use crate::a::b::B; pub struct C;",
        "pub struct C; fn f() { super::b::B; }",
        "pub struct C; fn f() { x!(1, { crate::a::b::B }) }",
        "pub struct C; mod inner { use super::super::b::B; }",
        "use crate::a::{d::D, b::{self, B as Other}}; pub struct C;",
    ] {
        let found = circles_of(&[there, ("src/a/c.rs", back), ("src/a/d.rs", "struct D;")]);
        assert_eq!(found, [["src/a/b.rs", "src/a/c.rs"]], "{back}");
    }
    let apart = circles_of(&[there, ("src/a/c.rs", "pub struct C; // crate::a::b::B")]);
    assert!(apart.is_empty(), "{apart:?}");
}

#[test]
fn three_files_in_a_ring_are_one_circle() {
    let found = circles_of(&[
        ("loadtest/src/main.rs", "mod a; mod b; mod c;"),
        ("loadtest/src/a.rs", "use crate::b::B; struct A;"),
        ("loadtest/src/b.rs", "use crate::c::C; struct B;"),
        ("loadtest/src/c.rs", "use crate::a::A; struct C;"),
    ]);
    assert_eq!(found, [["loadtest/src/a.rs", "loadtest/src/b.rs", "loadtest/src/c.rs"]]);
}

#[test]
fn a_name_that_is_passed_on_leads_to_where_it_is_declared() {
    for face in ["mod b; mod c; pub use b::B;", "mod b; mod c; pub use self::b::*;"] {
        let found = circles_of(&[
            ("src/a/mod.rs", face),
            ("src/a/b.rs", "use super::c::C; pub struct B;"),
            ("src/a/c.rs", "use super::B; pub struct C;"),
        ]);
        assert_eq!(found, [["src/a/b.rs", "src/a/c.rs"]], "{face}");
    }
}

#[test]
fn a_folder_and_its_files_and_tests_may_name_each_other() {
    let found = circles_of(&[
        ("src/a/mod.rs", "mod b; use b::B; pub struct A;"),
        ("src/a/b.rs", "use super::A; pub struct B;\n#[cfg(test)]\nmod tests { use crate::c::C; }"),
        ("src/c.rs", "use crate::a::b::B; pub struct C;\n#[cfg(test)]\nmod tests;"),
        ("src/c/tests.rs", "use super::C; use crate::a::b::B;"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_type_has_the_methods_of_all_its_blocks() {
    let files = read(&[
        ("src/core/a.rs", "struct T { x: u8, y: u8 }\nimpl T { fn a(&self) {} fn b() {} }"),
        ("src/core/b.rs", "impl super::a::T { fn c() {} #[cfg(test)] fn probe() {} }"),
        ("src/core/c.rs", "impl<'a> Show for T<'a> { fn show() {} const X: u8 = 1; }"),
        (
            "src/edge/a.rs",
            "struct T(u8);\nimpl T { fn d() {} }\n#[cfg(test)]\nimpl T { fn e() {} }",
        ),
        ("loadtest/src/a.rs", "struct T;\nimpl T { fn f() {} }"),
    ]);
    let found: Vec<_> =
        weights(&files).into_iter().map(|kind| (kind.path, kind.methods, kind.fields)).collect();
    let expected = [("src/core/a.rs", 4, 2), ("src/edge/a.rs", 1, 1), ("loadtest/src/a.rs", 1, 0)];
    assert_eq!(found, expected.map(|(path, methods, fields)| (path.to_owned(), methods, fields)));
}

#[test]
fn names_of_two_types_are_found_whatever_kind_they_are() {
    let files = read(&[
        (
            "src/a.rs",
            "struct One; enum Two {} trait Three {} type Four = u8; fn f() { struct One; }",
        ),
        (
            "src/b.rs",
            "type Two = u8; struct Three; struct Five; impl X for Five { type Four = u8; }",
        ),
        ("loadtest/src/a.rs", "struct Five; #[cfg(test)] mod tests { struct Four; }"),
    ]);
    let names = |folders: &[&str]| {
        let found = names_twice(&files, folders).into_iter().map(|(name, _)| name);
        found.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&["src/"]), "One Three Two");
    assert_eq!(names(&["src/", "loadtest/"]), "Five Four One Three Two");
}

#[test]
fn a_tuple_counts_by_its_members() {
    let head = |text: &str| read(&[("src/a.rs", text)])[0].heads[0].parameters;
    assert_eq!(head("fn f() {}"), 0);
    assert_eq!(head("trait T { fn f(&self, a: u8); }"), 2);
    assert_eq!(head("fn f(a: (u8, u8), b: u8) {}"), 3);
    assert_eq!(head("fn f((a, b): &(u8, (u8, u8)), c: [u8; 3], d: Option<(u8, u8)>) {}"), 5);
    assert_eq!(head("fn f(a: (), b: impl Fn(u8, u8)) {}"), 2);
}

#[test]
fn a_method_of_a_trait_is_counted_where_the_trait_is_declared() {
    let heads = |text: &str| {
        let heads = &read(&[("src/a.rs", text)])[0].heads;
        heads.iter().map(|head| (head.name.clone(), head.parameters)).collect::<Vec<_>>()
    };
    let own = "impl S {
fn f(&self, a: u8) {}
}
";
    let trait_of_another = "impl T for S {
fn g(&self, a: u8) {
fn inner(a: u8) {}
}
}";
    let found = heads(&format!("{own}{trait_of_another}"));
    assert_eq!(found, [("f".to_owned(), 2), ("inner".to_owned(), 1)]);
}

#[test]
fn words_of_comments_are_counted_and_those_of_code_are_left() {
    let source = Source::new(
        "src/a.rs",
        "//! It is not here, without\n/// doubt. Those\n/// who can't know.\nlet no = \"never\"; // no\n\nx();",
    );
    let near = |measure: Measure, expected: f64| {
        let value = measure.of(&[&source]);
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    };
    near(Measure::Vague, 1_000.0 / 10.0);
    near(Measure::Negative, 2_000.0 / 10.0);
    near(Measure::Richness, 10.0 / 2.0);
    assert_eq!(Measure::Negative.worst(&[&source]), ["2 src/a.rs"]);
}

#[test]
fn a_missed_goal_is_shown_with_its_places() {
    let figure = |value: f64, goal| Figure {
        what: "things",
        value,
        before: 9.0,
        goal,
        places: vec!["in a place".to_owned()],
    };
    for (value, goal, met) in [
        (3.0, Goal::AtMost(3.0), true),
        (3.1, Goal::AtMost(3.0), false),
        (3.0, Goal::Below(3.0), false),
        (2.9, Goal::Below(3.0), true),
        (3.0, Goal::AtLeast(3.0), true),
        (2.9, Goal::AtLeast(3.0), false),
        (9.9, Goal::None, true),
    ] {
        let figure = figure(value, goal);
        assert_eq!(figure.is_met(), met);
        let text = report(&[figure]);
        assert_eq!(text.contains("MISSED"), !met, "{text}");
        assert_eq!(text.contains("  in a place"), !met, "{text}");
    }
}
