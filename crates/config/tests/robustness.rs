//! No text makes it panic, and none makes it give out a configuration that is wrong.

use evenkeel_config::parse;
use proptest::prelude::*;

const FULL: &str = include_str!("../../../config/full.toml");

/// Either a configuration or at least one error, and problems that can be shown.
fn check(source: &str) {
    let (config, problems) = parse(source, "evenkeel.toml");
    assert_eq!(config.is_some(), problems.errors() == 0, "{problems}");
    for color in [false, true] {
        assert_eq!(problems.render(color).is_empty(), problems.is_empty());
    }
    let lines = source.split('\n').count();
    for problem in &problems {
        assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem:?}");
    }
    let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_truncation_of_the_full_file_gives_errors_or_a_configuration() {
    for end in (0..=FULL.len()).filter(|end| FULL.is_char_boundary(*end)) {
        check(&FULL[..end]);
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for text in ["[", "{a=", "a.", "[a.", "[[a.", "\"", "'''"] {
        check(&text.repeat(100_000));
        check(&format!("listeners = {}", text.repeat(100_000)));
    }
}

const TOKENS: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\n",
    ".",
    ",",
    "#",
    "[[routes]]",
    "true",
    "-1",
    "é",
    "\u{0}",
    "\r",
    "\t",
    "9e99",
    "\u{feff}",
];

/// A part of the file in another place, or a token that means something.
fn piece() -> impl Strategy<Value = String> {
    let part = (0..FULL.len(), 0..200_usize).prop_map(|(from, length)| {
        let from = FULL.floor_char_boundary(from);
        FULL[from..FULL.floor_char_boundary((from + length).min(FULL.len()))].to_owned()
    });
    prop_oneof![prop::sample::select(TOKENS).prop_map(str::to_owned), part, any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_file_with_random_changes_gives_errors_or_a_configuration(
        changes in prop::collection::vec((0..FULL.len(), 0..20_usize, piece()), 1..8)
    ) {
        let mut source = FULL.to_owned();
        for (at, length, piece) in changes {
            let from = source.floor_char_boundary(at.min(source.len()));
            let to = source.floor_char_boundary((from + length).min(source.len()));
            source.replace_range(from..to.max(from), &piece);
        }
        check(&source);
    }

    #[test]
    fn any_text_gives_errors_or_a_configuration(source in any::<String>()) {
        check(&source);
    }
}
