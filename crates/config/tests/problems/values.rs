//! Values and keys, each on its own.

use super::*;

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
        [
            "unknown key \"lb\" | lb | known here: balance, endpoints, timeouts, pool, resolve_interval, protocol, proxy_protocol, tls, health"
        ]
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
    assert_eq!(listener("http3 = {}"), [later("http3")]);
    assert_eq!(
        listener("protocol = \"http3\""),
        ["\"http3\" is not in this version | \"http3\" | in this one: \"http\", \"h2c\", \"auto\", \"tcp\""]
    );
    assert_eq!(
        listener("protocol = \"h2c\"\ntls.certificates = [{ cert = \"a\", key = \"b\" }]"),
        [
            "\"h2c\" is HTTP/2 without TLS, and this listener has TLS | \"h2c\" | take it out: with TLS, clients and tls.alpn say what is spoken"
        ]
    );
    for key in ["priority", "zone", "connections_max"] {
        assert_eq!(endpoints(&format!("[{{ address = \"a:1\", {key} = 1 }}]")), [later(key)]);
    }
    assert_eq!(upstream("retry = {}"), [later("retry")]);
    assert_eq!(upstream("queue = {}"), [later("queue")]);
    assert_eq!(upstream("health = { tcp = true, jitter = 1 }"), [later("jitter")]);
    assert_eq!(top("access_log = { template = \"x\" }"), [later("template")]);
    assert!(upstream("balance = \"peak_ewma\"")[0].starts_with("\"peak_ewma\" is not in this version"));
}

#[test]
fn what_endpoints_speak_and_their_tls_must_fit() {
    assert_eq!(
        upstream("protocol = \"h2c\"\ntls = true"),
        ["\"h2c\" is HTTP/2 without TLS, and this upstream has TLS | \"h2c\" | write \"h2\", or take tls out"]
    );
    assert_eq!(
        upstream("protocol = \"h2\""),
        [
            "\"h2\" is HTTP/2 within TLS, and this upstream has no TLS | \"h2\" | write tls, or \"h2c\" for endpoints that expect HTTP/2 without it"
        ]
    );
    assert_eq!(
        upstream("protocol = \"auto\"\ntls = false"),
        ["endpoints choose within TLS, and this upstream has no TLS | \"auto\" | write tls, or what they speak"]
    );
    for (lines, word) in
        [("tls.alpn = [\"h2\"]", "h2"), ("protocol = \"h2\"\ntls.alpn = [\"h2\", \"http/1.1\"]", "http/1.1")]
    {
        assert_eq!(
            upstream(lines),
            [format!(
                "{word:?} is not what protocol says of these endpoints | {word:?} | write protocol = \"auto\" on the upstream for both, \"h2\" for HTTP/2 alone"
            )]
        );
    }
    for lines in [
        "protocol = \"auto\"\ntls.alpn = [\"http/1.1\", \"h2\"]",
        "protocol = \"h2\"\ntls = true\nhealth = { grpc = \"\" }",
    ] {
        assert_eq!(upstream(lines), [""; 0], "{lines}");
    }
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
