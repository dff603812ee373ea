//! Any text of a configuration file: a configuration or at least one error, each with a place in the text.

use evenkeel_config::parse;

pub fn check(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let (config, problems) = parse(source, "evenkeel.toml");
    assert_eq!(config.is_some(), problems.errors() == 0, "{problems}");
    assert_eq!(problems.render(true).is_empty(), problems.is_empty());
    let lines = source.split('\n').count();
    for problem in &problems {
        assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem:?}");
    }
}
