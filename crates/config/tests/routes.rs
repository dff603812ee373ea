//! Names of routes, and routes that can never match.

use evenkeel_config::parse;

fn source(routes: &str) -> String {
    format!(
        "[listeners.web]\nlisten = \"a:1\"\n[listeners.inside]\nlisten = \"a:2\"\n[upstreams.u]\nendpoints = [\"b:1\"]\n{}",
        routes.replace("[[routes]]", "[[routes]]\nupstream = \"u\"")
    )
}

/// Which routes, by their position, can never match.
fn shadowed(routes: &str) -> Vec<String> {
    let (_, problems) = parse(&source(routes), "evenkeel.toml");
    for problem in &problems {
        assert_eq!(problem.message, "this route can never match", "{problems}");
    }
    problems.iter().map(|problem| problem.key.clone()).collect()
}

fn names(routes: &str) -> Vec<String> {
    let (config, problems) = parse(&source(routes), "evenkeel.toml");
    config.unwrap_or_else(|| panic!("{problems}")).routes.iter().map(|route| route.name.to_string()).collect()
}

#[test]
fn a_route_behind_an_equal_one_can_never_match() {
    assert_eq!(shadowed("[[routes]]\n[[routes]]\n"), ["routes[1]"]);
    assert_eq!(shadowed("[[routes]]\npath_prefix = \"/a\"\n[[routes]]\npath_prefix = \"/a/\"\n"), ["routes[1]"]);
    assert_eq!(shadowed("[[routes]]\nhosts = [\"A.b.\"]\n[[routes]]\nhosts = [\"a.B\"]\n"), ["routes[1]"]);
    assert_eq!(shadowed("[[routes]]\nhosts = [\"a\", \"b\"]\n[[routes]]\nhosts = [\"b\", \"a\"]\n"), ["routes[1]"]);
}

#[test]
fn the_path_of_a_route_has_the_form_that_paths_of_requests_have() {
    let routes = "[[routes]]\npath_prefix = \"/%61dmin%2f\"\n[[routes]]\npath = \"/%7Ea/x%2e/\"\n";
    assert_eq!(names(routes), ["*/admin%2F/", "*/~a/x./"]);
    assert_eq!(shadowed("[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/%61\"\n"), ["routes[1]"]);
}

#[test]
fn a_route_that_takes_more_paths_for_its_own_leaves_none_to_a_later_one() {
    let guard = "[[routes]]\npath_prefix = \"/Admin\"\nignore_case = true\nmerge_slashes = true\n";
    for later in [
        "path_prefix = \"/admin\"",
        "path_prefix = \"/ADMIN\"",
        "path_prefix = \"/admin\"\nmerge_slashes = true",
        "path_prefix = \"/aDmin\"\nignore_case = true",
        "path_prefix = \"/admin\"\nignore_case = true\nmerge_slashes = true",
        "path_prefix = \"//admin\"",
    ] {
        assert_eq!(shadowed(&format!("{guard}[[routes]]\n{later}\n")), ["routes[1]"], "{later}");
    }
    for later in [
        "path_prefix = \"/admin/x\"",
        "path = \"/admin\"",
        // It alone takes /a/..;/admin.
        "path_prefix = \"/admin\"\nignore_path_parameters = true",
        "path_prefix = \"/admin\"\nignore_case = true\nmerge_slashes = true\ndecode_slashes = true",
    ] {
        assert_eq!(shadowed(&format!("{guard}[[routes]]\n{later}\n")), [""; 0], "{later}");
    }
    // A strict one takes /admin/..;/x, which is none for a route that cuts off parameters.
    let cuts =
        "[[routes]]\npath_prefix = \"/admin\"\nignore_path_parameters = true\n[[routes]]\npath_prefix = \"/admin\"\n";
    assert_eq!(shadowed(cuts), [""; 0]);
}

#[test]
fn a_route_that_is_more_or_less_specific_can_match() {
    for routes in [
        "[[routes]]\n[[routes]]\nhosts = [\"a\"]\n",
        "[[routes]]\nhosts = [\"*.a\"]\n[[routes]]\nhosts = [\"b.a\"]\n",
        "[[routes]]\npath_prefix = \"/a\"\n[[routes]]\npath = \"/a\"\n",
        "[[routes]]\npath_prefix = \"/a\"\n[[routes]]\npath_prefix = \"/a/b\"\n",
        "[[routes]]\n[[routes]]\nmethods = [\"GET\"]\n",
        "[[routes]]\nmethods = [\"GET\"]\n[[routes]]\n",
        "[[routes]]\nmethods = [\"GET\"]\n[[routes]]\nmethods = [\"GET\", \"PUT\"]\n",
        "[[routes]]\n[[routes]]\nheaders = { x = \"1\" }\n",
        "[[routes]]\nhosts = [\"a\"]\n[[routes]]\nhosts = [\"a\", \"b\"]\n",
        "[[routes]]\nlisteners = [\"web\"]\n[[routes]]\n",
    ] {
        assert_eq!(shadowed(routes), [""; 0], "{routes}");
    }
}

#[test]
fn several_routes_together_can_take_all_requests_of_a_later_one() {
    let methods =
        "[[routes]]\nmethods = [\"GET\"]\n[[routes]]\nmethods = [\"PUT\"]\n[[routes]]\nmethods = [\"PUT\", \"GET\"]\n";
    let listeners = "[[routes]]\nlisteners = [\"web\"]\n[[routes]]\nlisteners = [\"inside\"]\n[[routes]]\n";

    assert_eq!(shadowed(methods), ["routes[2]"]);
    assert_eq!(shadowed(listeners), ["routes[2]"]);
    assert_eq!(shadowed("[[routes]]\n[[routes]]\nlisteners = [\"web\"]\n"), ["routes[1]"]);
}

#[test]
fn any_value_of_a_header_covers_a_certain_value_and_not_the_other_way_round() {
    let any = "[[routes]]\nheaders = { x = true, y = \"2\" }\n";
    let certain = "[[routes]]\nheaders = { x = \"1\", y = \"2\" }\n";
    let other = "[[routes]]\nheaders = { x = \"1\", y = \"3\" }\n";

    assert_eq!(shadowed(&format!("{any}{certain}")), ["routes[1]"]);
    assert_eq!(shadowed(&format!("{certain}{any}")), [""; 0]);
    assert_eq!(shadowed(&format!("{any}{other}")), [""; 0]);
    assert_eq!(shadowed(&format!("{any}{other}{certain}{other}")), ["routes[2]", "routes[3]"]);
}

#[test]
fn a_route_with_a_mistake_is_neither_shadow_nor_shadowed() {
    let (_, problems) = parse(&source("[[routes]]\nhost = [\"a\"]\n[[routes]]\n[[routes]]\nhosts = [\"a b\"]\n"), "");

    assert!(problems.iter().all(|problem| problem.message != "this route can never match"), "{problems}");
    assert_eq!(problems.errors(), 2);
}

#[test]
fn a_route_without_a_name_is_named_after_what_it_matches() {
    let names = names(
        "[[routes]]\nhosts = [\"api.example.com\", \"b\"]\npath_prefix = \"/v1\"\n[[routes]]\n[[routes]]\npath = \"/x\"\n\
         [[routes]]\nhosts = [\"*.c\"]\nmethods = [\"GET\", \"PUT\"]\nheaders = { x-b = \"secret\", X-A = true }\n\
         [[routes]]\nname = \"mine\"\nhosts = [\"d\"]\n",
    );

    assert_eq!(names, ["api.example.com/v1/", "*/", "*/x", "*.c/ GET,PUT x-a,x-b", "mine"]);
}

#[test]
fn routes_that_would_have_one_name_are_numbered_in_their_order() {
    let names = names(
        "[[routes]]\nheaders = { x = \"1\" }\n[[routes]]\nheaders = { x = \"2\" }\n[[routes]]\nheaders = { x = \"3\" }\n",
    );

    assert_eq!(names, ["*/ x", "*/ x#2", "*/ x#3"]);
}

#[test]
fn ten_thousand_routes_that_differ_only_in_a_header_value_are_compared_quickly() {
    let routes: String = (0..10_000).map(|n| format!("[[routes]]\nheaders = {{ x = \"{n}\" }}\n")).collect();
    let begun = std::time::Instant::now();

    assert_eq!(shadowed(&routes), [""; 0]);

    // Unoptimised code on a busy machine; comparing all with all would take minutes.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
