//! Every kind of problem: what is said, which part of the file is underlined, and the hint.

mod sections;
mod values;

use evenkeel_config::{Severity, parse};

/// What is said of a file, one line a problem: `message | what is underlined | hint`, as it is drawn.
fn complaints(source: &str) -> Vec<String> {
    let (_, problems) = parse(source, "evenkeel.toml");
    let rendered = problems.render(false);
    let drawn: Vec<&str> = rendered.split("\n\n").collect();
    assert_eq!(drawn.len(), problems.len().max(1), "{rendered}");
    problems
        .iter()
        .zip(drawn)
        .map(|(problem, drawn)| {
            assert!(drawn.starts_with(&format!("{}: {}", problem.severity, problem.message)), "{drawn}");
            assert!(drawn.contains(&format!("--> evenkeel.toml:{}:{}\n", problem.line, problem.column)), "{drawn}");
            let hint = problem.hint.as_deref().unwrap_or("-");
            assert!(hint == "-" || drawn.contains(&format!("= help: {hint}")), "{drawn}");
            format!("{} | {} | {hint}", problem.message, underlined(drawn))
        })
        .collect()
}

/// The part of the source line above the carets.
fn underlined(drawn: &str) -> String {
    let lines: Vec<&str> = drawn.lines().collect();
    let carets =
        lines.iter().position(|line| line.contains('|') && line.contains('^')).expect("something is underlined");
    let from = lines[carets].find('^').unwrap();
    let to = lines[carets].rfind('^').unwrap() + 1;
    lines[carets - 1].chars().skip(from).take(to - from).collect()
}

const LISTENER: &str = "[listeners.web]\nlisten = \"0.0.0.0:8080\"\n";
const ROUTE: &str = "[[routes]]\nupstream = \"site\"\n";
const UPSTREAM: &str = "[upstreams.site]\nendpoints = [\"10.0.0.1:80\"]\n";

/// What is said of a file that is right but for something at its top.
fn top(text: &str) -> Vec<String> {
    complaints(&format!("{text}\n{LISTENER}{ROUTE}{UPSTREAM}"))
}

fn listener(text: &str) -> Vec<String> {
    complaints(&format!("{LISTENER}{text}\n{ROUTE}{UPSTREAM}"))
}

fn route(text: &str) -> Vec<String> {
    complaints(&format!("{LISTENER}{ROUTE}{text}\n{UPSTREAM}"))
}

fn upstream(text: &str) -> Vec<String> {
    complaints(&format!("{LISTENER}{ROUTE}{UPSTREAM}{text}\n"))
}

fn endpoints(list: &str) -> Vec<String> {
    let health = "health = { tcp = true }";
    complaints(&format!("{LISTENER}{ROUTE}[upstreams.site]\n{health}\nendpoints = {list}\n"))
}

#[test]
fn a_file_without_a_problem_is_not_spoken_of() {
    assert_eq!(top(""), [""; 0]);
    let (config, problems) = parse(&format!("{LISTENER}{ROUTE}{UPSTREAM}"), "evenkeel.toml");
    assert!(config.is_some() && problems.is_empty());
    assert_eq!((problems.render(true).as_str(), problems.summary().as_str()), ("", "no problems"));
}

#[test]
fn a_problem_is_drawn_with_its_place_its_line_and_its_hint() {
    let source = format!(
        "{LISTENER}{ROUTE}[upstreams.site]\nendpoints = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\nballance = \"random\"\n"
    );

    let (config, problems) = parse(&source, "evenkeel.toml");

    assert!(config.is_none());
    assert_eq!(
        problems.render(false),
        r#"warning: the 2 endpoints of "site" are never asked about their health
 --> evenkeel.toml:5:12
  |
5 | [upstreams.site]
  |            ^^^^
  |
  = help: add a section [upstreams.site.health] with http = "/health" or tcp = true

error: unknown key "ballance"
 --> evenkeel.toml:7:1
  |
7 | ballance = "random"
  | ^^^^^^^^
  |
  = help: did you mean "balance"?
"#
    );
    assert_eq!(problems.summary(), "1 error, 1 warning");
    assert_eq!(
        problems.to_string().lines().last().unwrap(),
        "evenkeel.toml:7:1: error: unknown key \"ballance\" (did you mean \"balance\"?)"
    );
    assert!(problems.render(true).contains("\u{1b}["), "colours for a terminal");
}

#[test]
fn every_problem_of_a_file_is_told_at_once_in_the_order_of_the_file() {
    let source = "workers = 0\n[listeners.web]\nlisten = 80\n[[routes]]\nupstream = \"sight\"\n[upstreams.site]\nendpoints = []\n";

    let (_, problems) = parse(source, "evenkeel.toml");

    let keys: Vec<_> =
        problems.iter().filter(|p| p.severity == Severity::Error).map(|p| (p.line, p.key.as_str())).collect();
    let expected =
        [(1, "workers"), (3, "listeners.web.listen"), (5, "routes[0].upstream"), (7, "upstreams.site.endpoints")];
    assert_eq!(keys, expected);
}

#[test]
fn the_second_of_two_equal_things_points_to_the_first() {
    let source = format!("{LISTENER}[listeners.too]\nlisten = \"0.0.0.0:8080\"\n{ROUTE}{UPSTREAM}");

    let (_, problems) = parse(&source, "evenkeel.toml");

    assert_eq!(
        problems.render(false),
        r#"error: "0.0.0.0:8080" is listened at twice
 --> evenkeel.toml:4:10
  |
4 | listen = "0.0.0.0:8080"
  |          ^^^^^^^^^^^^^^
  |
 ::: evenkeel.toml:2:10
  |
2 | listen = "0.0.0.0:8080"
  |          -------------- the first one is here
  |
  = help: listen at another address or port
"#
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning_and_loads() {
    let source = format!(
        "{LISTENER}{ROUTE}[upstreams.site]\nendpoints = [\"a:1\", \"b:1\"]\n[upstreams.idle]\nendpoints = [\"c:1\"]\n"
    );

    let (config, problems) = parse(&source, "evenkeel.toml");

    assert!(config.is_some());
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    assert_eq!(
        complaints(&source),
        [
            "the 2 endpoints of \"site\" are never asked about their health | site | add a section [upstreams.site.health] with http = \
         \"/health\" or tcp = true",
            "no route leads to upstream \"idle\" | idle | add a route, or take the upstream out",
        ]
    );
}

#[test]
fn text_without_quotes_is_told_with_the_quotes() {
    assert_eq!(
        complaints("[listeners.web]\nlisten = 0.0.0.0:8080\n"),
        ["text without quotes | 0.0.0.0:8080 | write it in quotes: \"0.0.0.0:8080\""]
    );
    assert_eq!(complaints("drain = { grace = 5s }\n"), ["text without quotes | 5s | write it in quotes: \"5s\""]);
    assert_eq!(
        complaints("[upstreams.a]\nbalance = random\n"),
        ["text without quotes | random | write it in quotes: \"random\""]
    );
}

#[test]
fn one_fault_of_syntax_is_told_once_and_hides_no_other_problem() {
    let told = complaints(
        "workers = 0\n[upstreams.a]\nendpoints = [\"a:1\",\n  \"b:1\"\nbalance = \"random\"\n[admin]\nlisten = 1\n",
    );

    assert_eq!(told, ["0 is out of range | 0 | 1 to 1024", "this list is never closed | [ | write ] where it ends"]);
    assert_eq!(
        complaints("a = 1\na = 2\n")[1..],
        ["duplicate key | a | each key and each section is written once: put the two together"]
    );
}
