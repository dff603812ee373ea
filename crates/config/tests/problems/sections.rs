//! What makes no sense in its section, or next to another.

use super::*;

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
    for bad in ["/%00", "/a%2", "/a%zz", "/%2e%2e/a"] {
        assert!(
            route(&format!("path_prefix = \"{bad}\""))[0].starts_with(&format!("\"{bad}\" is not a path")),
            "{bad}"
        );
    }
    for (key, path, read) in [
        ("merge_slashes", "/a//b", "/a/b"),
        ("ignore_path_parameters", "/a;x", "/a"),
        ("decode_slashes", "/a%2fb", "/a/b"),
    ] {
        let told = route(&format!("path = \"{path}\"\n{key} = true"));
        assert!(told[0].contains("is no path to this route") && told[0].contains(read), "{told:?}");
    }
    assert!(route("headers = { \"Keep-Alive\" = true }")[0].starts_with("no request has \"keep-alive\""));
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
fn a_field_for_identities_that_means_something_else_is_told() {
    let auth = |header: &str| {
        listener(&format!(
            "tls.certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]\n\
             tls.client_auth = {{ ca = \"ca.pem\", header = \"{header}\" }}"
        ))
    };
    let taken = [
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X_Forwarded_Proto",
        "X-Forwarded-Host",
        "Cookie",
        "Authorization",
        "Expect",
    ];
    for name in taken {
        let told = auth(name);
        assert_eq!(told.len(), 1, "{told:?}");
        let said = format!("{:?} cannot carry who a client is | {name:?} | ", name.to_lowercase());
        assert!(told[0].starts_with(&said), "{told:?}");
    }
    for name in ["X-Who", "x-forwarded-client-cert", "X-Forwarded-Tls-Client-Cert", "Client-Cert"] {
        assert!(auth(name).is_empty(), "{name}");
    }
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
        [
            "the health section does not say what to ask | {  } | write http = \"/path\", tcp = true or grpc = \"service\""
        ]
    );
    assert_eq!(health("http = \"/\", tcp = true"), ["a probe is http, tcp or grpc | true | take all but one out"]);
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
fn proxy_headers_from_nobody_are_refused() {
    let nobody = "PROXY headers from nobody: every connection would be closed | true | write the balancers' networks: \
                  proxy_protocol_from = [\"10.0.0.0/8\"]";
    assert_eq!(listener("proxy_protocol = true"), [nobody]);
    assert_eq!(listener("proxy_protocol = true\nproxy_protocol_from = []"), [nobody]);
    assert_eq!(listener("proxy_protocol = true\nproxy_protocol_from = [\"10.0.0.0/8\", \"::1/128\"]"), [""; 0]);
    assert_eq!(
        listener("proxy_protocol = true\nproxy_protocol_from = [\"10.0.0.1\"]"),
        ["\"10.0.0.1\" is not a network | \"10.0.0.1\" | for this one address write \"10.0.0.1/32\""]
    );
    let inside = "[listeners.inside]\nlisten = \"unix:/run/x.sock\"\nproxy_protocol = true\n";
    assert_eq!(complaints(&format!("{LISTENER}{inside}{ROUTE}{UPSTREAM}")), [""; 0], "its file has rights");
}

/// What is said of a file whose only listener has these lines.
fn tcp(lines: &str) -> Vec<String> {
    complaints(&format!("{LISTENER}protocol = \"tcp\"\n{lines}\n{UPSTREAM}"))
}

#[test]
fn a_tcp_listener_leads_somewhere_and_knows_no_requests() {
    assert_eq!(tcp("upstream = \"site\""), [""; 0], "no route is needed, and its upstream is in use");
    assert_eq!(tcp("sni = [{ hosts = [\"a.example\", \"*.b.example\"], upstream = \"site\" }]"), [""; 0]);
    assert_eq!(
        tcp("upstream = \"sites\""),
        [
            "no upstream is named \"sites\" | \"sites\" | did you mean \"site\"?",
            "no route leads to upstream \"site\" | site | add a route, or take the upstream out"
        ]
    );
    assert_eq!(
        tcp("")[0],
        "a tcp listener that leads nowhere | [listeners.web] | write upstream = \"NAME\", or sni with names and upstreams"
    );
    assert_eq!(
        tcp("upstream = \"site\"\nproxy_status = true\ntimeouts = { tls = \"1s\", idle = \"1s\" }"),
        [
            "\"proxy_status\" is about requests, and a tcp listener sees none | true | take it out",
            "\"idle\" is about requests, and a tcp listener sees none | idle | take it out: how long nothing may move is \
             timeouts.tunnel_idle of the upstream"
        ]
    );
    assert_eq!(
        tcp(
            "sni = [{ hosts = [\"a.example\"], upstream = \"site\" }, { hosts = [\"A.example.\"], upstream = \"site\" }]"
        ),
        ["\"a.example\" is there twice | \"A.example.\" | take one of them out"]
    );
    assert_eq!(
        tcp("sni = [{ hosts = [], upstream = \"site\" }]")[0],
        "an empty list | [] | write at least one, or leave the key away"
    );
}

#[test]
fn a_route_on_a_tcp_listener_and_tcp_keys_elsewhere_are_refused() {
    assert_eq!(
        complaints(&format!(
            "{LISTENER}protocol = \"tcp\"\nupstream = \"site\"\n{ROUTE}listeners = [\"web\"]\n{UPSTREAM}"
        )),
        [
            "\"web\" is a tcp listener, where no route applies | \"web\" | take it out: the listener itself says where its connections go"
        ]
    );
    assert_eq!(
        listener("upstream = \"site\""),
        [
            "\"upstream\" is for tcp listeners | \"site\" | write protocol = \"tcp\" to pass connections on as they are, or routes \
             for requests"
        ]
    );
}
