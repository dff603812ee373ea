//! Every kind of problem: what is said, which part of the file is underlined, and the hint.

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
fn a_value_of_a_wrong_type_is_told_with_how_to_write_it() {
    assert_eq!(
        top("workers = \"4\""),
        ["expected a whole number, found a string | \"4\" | write it without quotes: 4"]
    );
    assert_eq!(top("workers = 1.5"), ["expected a whole number, found a float | 1.5 | -"]);
    assert_eq!(top("admin = 1"), ["expected a table, found an integer | 1 | -"]);
    assert_eq!(
        top("trusted_proxies = \"10.0.0.0/8\""),
        ["expected a list, found a string | \"10.0.0.0/8\" | write a list: [\"10.0.0.0/8\"]"]
    );
    assert_eq!(
        top("admin = { listen = 9901 }"),
        ["expected a string, found an integer | 9901 | write it in quotes: \"9901\""]
    );
    assert_eq!(
        endpoints("[{ address = \"a:1\", drain = \"yes\" }]"),
        ["expected true or false, found a string | \"yes\" | -"]
    );
    assert_eq!(endpoints("[1]"), ["expected an address or a table, found an integer | 1 | -"]);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    assert_eq!(top("worker = 4"), ["unknown key \"worker\" | worker | did you mean \"workers\"?"]);
    assert_eq!(
        upstream("lb = \"random\""),
        ["unknown key \"lb\" | lb | known here: balance, endpoints, timeouts, pool, resolve_interval, health"]
    );
    assert_eq!(
        top("limits = { max_connections = 1 }"),
        ["unknown key \"max_connections\" | max_connections | did you mean \"connections_max\"?"]
    );
}

#[test]
fn a_misspelt_key_is_not_told_as_missing_too() {
    let source = format!("{LISTENER}{ROUTE}[upstreams.site]\nendpoint = [\"10.0.0.1:80\"]\n");

    assert_eq!(complaints(&source), ["unknown key \"endpoint\" | endpoint | did you mean \"endpoints\"?"]);
}

#[test]
fn a_missing_key_is_told_at_its_section() {
    assert_eq!(top("[admin]"), ["\"listen\" is missing | [admin] | -"]);
    assert_eq!(
        complaints(&format!("{LISTENER}{ROUTE}[upstreams.site]\nbalance = \"random\"\n")),
        ["\"endpoints\" is missing | [upstreams.site] | -"]
    );
}

#[test]
fn a_missing_or_unknown_unit_is_told_with_how_to_write_it() {
    assert_eq!(top("drain = { grace = 5 }"), ["the unit is missing | 5 | write \"5s\" or \"5ms\" or \"5m\""]);
    assert_eq!(top("drain = { grace = \"5\" }"), ["the unit is missing | \"5\" | write \"5s\" or \"5ms\" or \"5m\""]);
    assert_eq!(
        top("limits = { body_max = 64 }"),
        ["the unit is missing | 64 | write \"64KiB\" or \"64MiB\" or \"64B\""]
    );
    assert!(
        top("drain = { grace = \"5 parsecs\" }")[0]
            .starts_with("\"5 parsecs\" is not a time | \"5 parsecs\" | unknown time unit")
    );
    assert!(top("limits = { body_max = \"much\" }")[0].starts_with("\"much\" is not a size | \"much\""));
    assert_eq!(top("drain = { grace = true }"), ["expected a time such as \"5s\", found a boolean | true | -"]);
}

#[test]
fn a_value_out_of_range_is_told_with_the_range() {
    assert_eq!(top("workers = 0"), ["0 is out of range | 0 | 1 to 1024"]);
    assert_eq!(
        top("workers = 99999999999999999999"),
        ["99999999999999999999 is out of range | 99999999999999999999 | 1 to 1024"]
    );
    assert_eq!(listener("timeouts = { idle = \"0s\" }"), ["\"0s\" is out of range | \"0s\" | at least 1ms"]);
    assert_eq!(
        listener("timeouts = { idle = \"1000years\" }"),
        ["\"1000years\" is out of range | \"1000years\" | at most 1year"]
    );
    assert_eq!(top("limits = { request_head_max = \"1B\" }"), ["\"1B\" is out of range | \"1B\" | 8KiB to 1MiB"]);
}

#[test]
fn a_word_that_is_not_known_is_told_with_the_nearest_or_all() {
    assert_eq!(
        upstream("balance = \"round_robbin\""),
        ["\"round_robbin\" is not known here | \"round_robbin\" | did you mean \"round_robin\"?"]
    );
    assert_eq!(top("log = { format = \"xml\" }"), ["\"xml\" is not known here | \"xml\" | one of \"text\", \"json\""]);
}

#[test]
fn what_a_later_version_will_know_is_told_as_not_in_this_one() {
    let later = |key: &str| {
        format!("\"{key}\" is not in this version | {key} | the key is reserved for a later one: take it out")
    };
    assert_eq!(listener("tls = {}"), [later("tls")]);
    assert_eq!(listener("half_closed_clients = \"serve\""), [later("half_closed_clients")]);
    assert_eq!(listener("protocol = \"h2c\""), ["\"h2c\" is not in this version | \"h2c\" | in this one: \"http\""]);
    for key in ["priority", "zone", "connections_max"] {
        assert_eq!(endpoints(&format!("[{{ address = \"a:1\", {key} = 1 }}]")), [later(key)]);
    }
    assert_eq!(upstream("retry = {}"), [later("retry")]);
    assert_eq!(upstream("queue = {}"), [later("queue")]);
    assert_eq!(upstream("health = { tcp = true, grpc = \"service\" }"), [later("grpc")]);
    assert_eq!(top("access_log = { template = \"x\" }"), [later("template")]);
    assert!(upstream("balance = \"peak_ewma\"")[0].starts_with("\"peak_ewma\" is not in this version"));
}

#[test]
fn a_bad_address_is_told_with_what_is_wrong() {
    assert_eq!(
        top("admin = { listen = \"127.0.0.1\" }"),
        ["\"127.0.0.1\" is not an address | \"127.0.0.1\" | the port is missing: write HOST:PORT"]
    );
    assert_eq!(
        endpoints("[\"http://a:80\"]"),
        ["\"http://a:80\" is not an address | \"http://a:80\" | an address has no scheme and no path: write HOST:PORT"]
    );
    assert_eq!(
        endpoints("[{ address = \"unix:x\" }]"),
        ["\"unix:x\" is not an address | \"unix:x\" | a unix socket is written unix:/absolute/path"]
    );
    assert_eq!(
        endpoints("[\"a:0\"]"),
        ["nothing can be reached at port 0 | \"a:0\" | write the port at which the endpoint listens"]
    );
    assert_eq!(
        top("trusted_proxies = [\"10.0.0.1\", \"x\"]"),
        [
            "\"10.0.0.1\" is not a network | \"10.0.0.1\" | for this one address write \"10.0.0.1/32\"",
            "\"x\" is not a network | \"x\" | a network is written ADDRESS/BITS, such as \"10.0.0.0/8\"",
        ]
    );
}

#[test]
fn an_upstream_without_endpoints_or_with_one_twice_or_of_weight_zero_is_told() {
    assert_eq!(
        endpoints("[]"),
        ["an upstream without an endpoint | [] | write at least one address, such as \"10.0.0.1:8080\""]
    );
    assert_eq!(
        endpoints("[\"a:1\", { address = \"A:1\" }]"),
        ["endpoint \"a:1\" is there twice | \"A:1\" | for a larger share write a weight"]
    );
    assert_eq!(
        endpoints("[{ address = \"a:1\", weight = 0 }]"),
        ["a weight of zero | 0 | 1 to 65535; to rest an endpoint, write drain = true"]
    );
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
fn listeners_that_would_fail_to_bind_are_told() {
    let overlap = "overlaps with another listener";
    assert!(
        listener("[listeners.b]\nlisten = \"127.0.0.1:8080\"")[0].starts_with(&format!("\"127.0.0.1:8080\" {overlap}"))
    );
    assert!(top("admin = { listen = \"127.0.0.1:8080\" }")[0].starts_with(&format!("\"0.0.0.0:8080\" {overlap}")));
    assert_eq!(
        listener(
            "[listeners.b]\nlisten = \"a:0\"\n[listeners.c]\nlisten = \"a:0\"\n[listeners.d]\nlisten = \"[::1]:8080\""
        ),
        [""; 0]
    );
}

#[test]
fn a_file_without_a_listener_is_told() {
    let hint = "write a section such as [listeners.web] with listen = \"0.0.0.0:8080\"";
    let (config, problems) = parse(&format!("{ROUTE}{UPSTREAM}"), "evenkeel.toml");
    assert!(config.is_none());
    assert_eq!(
        problems.to_string(),
        format!("evenkeel.toml:1:1: error: no listener: nothing would be accepted ({hint})")
    );
    assert!(
        complaints(&format!("[listeners]\n{ROUTE}{UPSTREAM}"))[0]
            .starts_with("no listener: nothing would be accepted | [listeners]")
    );
    assert_eq!(parse("", "evenkeel.toml").1.errors(), 1);
}

#[test]
fn a_bad_name_is_told_where_it_is_given() {
    let rule = "a name has 1 to 64 lower-case letters, digits, '-' or '_', and begins with a letter or digit";
    assert_eq!(listener("[listeners.Web]\nlisten = \"a:1\""), [format!("\"Web\" is not a name | Web | {rule}")]);
    assert_eq!(route("name = \"a b\""), [format!("\"a b\" is not a name | \"a b\" | {rule}")]);
    // Told once: not again where the name is used.
    let source = format!("{LISTENER}[[routes]]\nupstream = \"Site\"\n[upstreams.Site]\nendpoints = [\"a:1\"]\n");
    assert_eq!(complaints(&source), [format!("\"Site\" is not a name | Site | {rule}")]);
}

#[test]
fn a_name_that_nobody_has_is_told_with_the_nearest() {
    assert_eq!(route("listeners = [\"wep\"]"), ["no listener is named \"wep\" | \"wep\" | did you mean \"web\"?"]);
    assert_eq!(
        route("[[routes]]\npath = \"/x\"\nupstream = \"other\""),
        ["no upstream is named \"other\" | \"other\" | define it in a section [upstreams.other]"]
    );
}

#[test]
fn a_route_that_leads_nowhere_or_can_never_match_is_told() {
    assert_eq!(
        route("[[routes]]\npath = \"/x\""),
        [
            "this route leads nowhere | [[routes]] | write upstream = \"NAME\", or a filter that answers: redirect or fixed_response"
        ]
    );
    assert_eq!(
        route("[[routes]]\nupstream = \"site\""),
        [
            "this route can never match | [[routes]] | the earlier one takes all its requests: take one out, or add a condition"
        ]
    );
    assert_eq!(
        route("name = \"a\"\n[[routes]]\nname = \"a\"\npath = \"/\"\nupstream = \"site\""),
        ["two routes are named \"a\" | \"a\" | give one of them another name"]
    );
}

#[test]
fn conditions_that_no_request_can_meet_are_told() {
    assert_eq!(route("path = \"x\""), ["\"x\" is not a path | \"x\" | a path begins with /"]);
    assert_eq!(route("path = \"/x?y\""), ["\"/x?y\" is not a path | \"/x?y\" | a path ends before '?' and '#'"]);
    assert!(route("path = \"/a b\"")[0].contains("percent-encoded"));
    assert!(route("path = \"/ä\"")[0].contains("percent-encoded"));
    assert!(route("path_prefix = \"/a/../b\"")[0].contains("never reach a route"));
    assert!(route("path = \"/a\"\npath_prefix = \"/a\"")[0].starts_with("a path and a path prefix | \"/a\" | "));
    assert_eq!(
        route("methods = [\"get\"]"),
        ["\"get\" is not a method | \"get\" | methods are case-sensitive: write \"GET\""]
    );
    assert_eq!(
        route("methods = [\"CONNECT\"]"),
        ["CONNECT is never passed on | \"CONNECT\" | requests with it are refused before any route is looked at"]
    );
    assert!(route("hosts = [\"a:80\"]")[0].starts_with("\"a:80\" is not a host | \"a:80\" | a host is a name such as"));
    assert_eq!(route("hosts = []"), ["an empty list | [] | write at least one, or leave the key away"]);
    assert_eq!(
        route("headers = { \"a b\" = true }"),
        ["\"a b\" is not the name of a header field | \"a b\" | letters, digits and '-', such as \"x-request-id\""]
    );
    assert_eq!(
        route("headers = { x = false }"),
        ["only true can be written here | false | true asks for any value; to ask for nothing, take the key out"]
    );
    assert_eq!(route("headers = { x = 1 }"), ["expected a string or true, found an integer | 1 | -"]);
    assert_eq!(
        route("headers = { x = \"1\", X = true }"),
        ["header field \"x\" is there twice | x | upper and lower case name the same field"]
    );
}

fn filters(list: &str) -> Vec<String> {
    route(&format!("filters = [{list}]"))
}

#[test]
fn a_filter_that_would_break_messages_is_told() {
    let fields = [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
    ];
    for name in fields {
        for filter in ["set_request_header", "add_response_header"] {
            let told = filters(&format!("{{ {filter} = {{ name = \"{name}\", value = \"x\" }} }}"));
            assert!(
                told[0].starts_with(&format!("a filter cannot change {:?} | {name:?} | ", name.to_lowercase())),
                "{told:?}"
            );
        }
        assert_eq!(filters(&format!("{{ remove_request_header = \"{name}\" }}")).len(), 1, "{name}");
    }
    assert_eq!(
        filters("{ set_request_header = { name = \"Host\", value = \"x\" } }"),
        [
            "a filter cannot change \"host\" | \"Host\" | routing, the log and the endpoint must see one and the same host"
        ]
    );
    assert_eq!(
        filters("{ set_request_header = { name = \"x\", value = \"a\\r\\nb: c\" } }"),
        [
            "a header field cannot carry this text | \"a\\r\\nb: c\" | visible ASCII characters and blanks only, no line breaks"
        ]
    );
}

#[test]
fn a_filter_that_is_none_or_two_is_told() {
    assert_eq!(filters("{}"), ["an empty filter | {} | write one such as { remove_request_header = \"x-debug\" }"]);
    assert_eq!(
        filters("{ remove_request_header = \"a\", remove_response_header = \"b\" }"),
        ["two filters in one table | remove_response_header | their order matters: write each in a table of its own"]
    );
    assert_eq!(filters("{ remove_header = \"a\" }")[0].split(" | ").next(), Some("unknown key \"remove_header\""));
    assert_eq!(
        filters("{ prefix_rewrite = \"/\" }, { prefix_rewrite = \"/a\" }")[0].split(" | ").next(),
        Some("two filters rewrite the prefix")
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_told() {
    assert_eq!(
        filters("{ redirect = {} }"),
        ["this redirect leads to where the client already is | {} | write a scheme, host, port or path"]
    );
    assert_eq!(
        filters("{ redirect = { scheme = \"https\", status = 305 } }"),
        ["305 is not a redirect | 305 | 301, 302, 303, 307 or 308"]
    );
    assert_eq!(
        filters("{ redirect = { host = \"*.a\" } }"),
        ["a client cannot be sent to a wildcard | \"*.a\" | write one host"]
    );
    assert!(filters("{ redirect = { path = \"a b\" } }")[0].starts_with("\"a b\" is not a path"));
    assert_eq!(
        filters("{ fixed_response = { status = 204, body = \"x\" } }"),
        ["an answer with status 204 has no body | \"x\" | take the body out, or write another status"]
    );
    assert_eq!(filters("{ fixed_response = { status = 100 } }"), ["100 is out of range | 100 | 200 to 599"]);
}

fn health(keys: &str) -> Vec<String> {
    upstream(&format!("health = {{ {keys} }}"))
}

#[test]
fn a_probe_that_makes_no_sense_is_told() {
    assert_eq!(
        health(""),
        ["the health section does not say what to ask | {  } | write http = \"/path\" or tcp = true"]
    );
    assert_eq!(health("http = \"/\", tcp = true"), ["a probe is either http or tcp | true | take one of the two out"]);
    assert_eq!(
        health("tcp = false"),
        ["only true can be written here | false | for no probes at all take the health section out"]
    );
    assert_eq!(
        health("tcp = true, expect_body = \"ok\""),
        ["this is for http probes only | \"ok\" | take it out, or ask with http = \"/path\""]
    );
    assert!(health("http = \"health\"")[0].starts_with("\"health\" is not a path"));
    assert_eq!(
        health("tcp = true, interval = \"1s\", timeout = \"2s\""),
        [
            "the timeout, 2s, is longer than the interval, 1s | \"2s\" | an answer must be in before the next question: shorten the \
         timeout or lengthen the interval"
        ]
    );
    assert_eq!(health("tcp = true, interval = \"1ms\""), ["\"1ms\" is out of range | \"1ms\" | at least 100ms"]);
    assert_eq!(health("http = \"/\", expect_status = [99, \"300-200\", \"2xx\"]").len(), 3);
    assert_eq!(
        health("http = \"/\", method = \"HEAD\", expect_body = \"ok\""),
        ["the answer to HEAD has no body | \"ok\" | take expect_body out, or ask with GET"]
    );
    let source =
        format!("{LISTENER}{ROUTE}[upstreams.site]\nendpoints = [\"unix:/a\"]\nhealth = {{ tcp = true, port = 80 }}\n");
    assert_eq!(
        complaints(&source),
        ["a port for probes, but an endpoint is a unix socket, which has none | 80 | take the port out"]
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
