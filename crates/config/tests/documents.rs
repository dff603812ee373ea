//! The files of `config/`, the schema and the walker say the same.

use evenkeel_config::{load, parse, schema};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, path::PathBuf};
use toml::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}

fn full() -> String {
    std::fs::read_to_string(path("full.toml")).unwrap()
}

/// A step from a value to one in it: a key of the table, any name, any element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Name,
    Element,
}

/// Every key of the schema: the steps to it and its own schema.
fn keys(schema: &Json) -> BTreeMap<Vec<Step>, Json> {
    fn walk(schema: &Json, path: &mut Vec<Step>, keys: &mut BTreeMap<Vec<Step>, Json>) {
        let mut into = |step: Step, schema: &Json| {
            path.push(step);
            if let Some(Step::Key(_)) = path.last() {
                keys.insert(path.clone(), schema.clone());
            }
            walk(schema, path, keys);
            path.pop();
        };
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            into(Step::Key(key.clone()), schema);
        }
        if schema["additionalProperties"].is_object() {
            into(Step::Name, &schema["additionalProperties"]);
        }
        if schema["items"].is_object() {
            into(Step::Element, &schema["items"]);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            walk(choice, path, keys);
        }
    }
    let mut keys = BTreeMap::new();
    walk(schema, &mut Vec::new(), &mut keys);
    keys
}

/// The first place in a document to which the steps lead.
fn find<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match (step, value) {
        (Step::Key(key), Value::Table(table)) => table.get_mut(key).and_then(|value| find(value, rest)),
        (Step::Name, Value::Table(table)) => table.iter_mut().find_map(|(_, value)| find(value, rest)),
        (Step::Element, Value::Array(array)) => array.iter_mut().find_map(|value| find(value, rest)),
        _ => None,
    }
}

/// The table that holds a key of full.toml, and the key's name.
fn holder<'a>(document: &'a mut Value, steps: &[Step]) -> (&'a mut toml::Table, String) {
    // Found by way of the key, since not every table of a kind has it.
    fn find_holder<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut toml::Table> {
        match (steps, value) {
            ([Step::Key(key)], Value::Table(table)) => table.contains_key(key).then_some(table),
            ([Step::Key(key), rest @ ..], Value::Table(table)) => find_holder(table.get_mut(key)?, rest),
            ([Step::Name, rest @ ..], Value::Table(table)) => table.iter_mut().find_map(|(_, v)| find_holder(v, rest)),
            ([Step::Element, rest @ ..], Value::Array(array)) => array.iter_mut().find_map(|v| find_holder(v, rest)),
            _ => None,
        }
    }
    let Some(Step::Key(name)) = steps.last() else { panic!("{steps:?} does not end in a key") };
    (find_holder(document, steps).unwrap_or_else(|| panic!("{steps:?} is not in full.toml")), name.clone())
}

fn document() -> Value {
    full().parse::<toml::Table>().map(Value::Table).unwrap()
}

fn text(document: &Value) -> String {
    toml::to_string(document).unwrap()
}

fn is_valid(document: &Value) -> bool {
    jsonschema::draft202012::is_valid(&schema(), &serde_json::to_value(document).unwrap())
}

#[test]
fn the_files_of_config_load_without_a_word_and_are_valid_by_the_schema() {
    for name in ["minimal.toml", "tls.toml", "tcp.toml", "full.toml"] {
        let loaded = load(&path(name)).unwrap_or_else(|problems| panic!("{}", problems.render(false)));

        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
        let document: Value = loaded.source.parse::<toml::Table>().map(Value::Table).unwrap();
        let json = serde_json::to_value(&document).unwrap();
        if let Err(error) = jsonschema::draft202012::validate(&schema(), &json) {
            panic!("{name}: {error} at {}", error.instance_path());
        }
    }
}

#[test]
fn the_schema_is_a_schema_and_describes_every_key() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    for (steps, schema) in keys(&schema()) {
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(description.len() > 8 && description.ends_with('.'), "{steps:?}: {description:?}");
    }
}

#[test]
fn full_toml_has_every_key_of_the_schema() {
    for steps in keys(&schema()).keys() {
        assert!(find(&mut document(), steps).is_some(), "{steps:?}");
    }
}

#[test]
fn full_toml_says_above_each_key_the_default_that_the_schema_says() {
    let told = defaults_told(&full());
    let mut compared = 0;
    for (steps, schema) in keys(&schema()) {
        let description = schema["description"].as_str().unwrap();
        let expected = match description.rsplit_once(" Default: ") {
            Some((_, words)) => format!("default: {}", words.strip_suffix('.').unwrap()),
            None if description.ends_with(" Required.") => "required".to_owned(),
            None => continue,
        };
        // The two fields of a header are told once, not for each of the four filters that have them.
        let repeated = matches!(steps.as_slice(), [.., Step::Key(filter), Step::Key(_)]
            if filter.ends_with("_header") && filter != "set_request_header");
        if repeated {
            continue;
        }
        assert_eq!(told.get(&steps), Some(&expected), "{steps:?}");
        compared += 1;
        if let Some(default) = schema.get("default") {
            assert_eq!(expected, format!("default: {default}"));
        }
    }
    assert_eq!(compared, told.len(), "full.toml tells of no key that the schema does not have");
}

/// What the comments of a file say of defaults, by the key below each.
fn defaults_told(source: &str) -> BTreeMap<Vec<Step>, String> {
    let known = keys(&schema());
    let (mut told, mut section, mut comment) = (BTreeMap::new(), Vec::new(), None);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment = (text.starts_with("default: ") || text == "required").then(|| text.to_owned());
            continue;
        }
        let mut key = None;
        if line.starts_with('[') {
            section = steps(line.trim_matches(['[', ']']), &known);
            key = Some(section.clone());
            // A list of tables, or a section under a name: what is told is told of the key that holds them.
            while let Some(Step::Element | Step::Name) = key.as_ref().and_then(|key| key.last()) {
                key.as_mut().unwrap().pop();
            }
        } else if let Some((name, _)) = line.split_once(" = ") {
            key = Some([section.clone(), vec![Step::Key(name.to_owned())]].concat());
        }
        if let (Some(key), Some(comment)) = (key, comment.take()) {
            told.insert(key, comment);
        }
    }
    told
}

/// The steps of a dotted header, by what the schema knows: after a key that holds a list or names comes a step into it.
fn steps(header: &str, known: &BTreeMap<Vec<Step>, Json>) -> Vec<Step> {
    let (mut steps, mut named) = (Vec::new(), false);
    for part in header.split('.') {
        if named {
            steps.push(Step::Name);
            named = false;
            continue;
        }
        steps.push(Step::Key(part.to_owned()));
        let schema = known.get(&steps).unwrap_or_else(|| panic!("{header}: {steps:?}"));
        named = schema["additionalProperties"].is_object();
        if schema["items"].is_object() {
            steps.push(Step::Element);
        }
    }
    steps
}

#[test]
fn a_value_of_a_wrong_type_is_refused_under_every_key_by_walker_and_schema_alike() {
    for steps in keys(&schema()).keys() {
        // A list of lists is no value of any key.
        let mut document = document();
        let (table, name) = holder(&mut document, steps);
        table.insert(name.clone(), Value::Array(vec![Value::Array(vec![])]));

        let (config, problems) = parse(&text(&document), "full.toml");

        assert!(config.is_none(), "{steps:?}");
        let found =
            problems.iter().any(|p| p.key.split(['.', '[']).any(|part| part == name) && p.message.contains("expected"));
        assert!(found, "{steps:?}: {}", problems.render(false));
        assert!(!is_valid(&document), "{steps:?}");
    }
}

#[test]
fn an_unknown_key_is_refused_in_every_section_by_walker_and_schema_alike() {
    for steps in keys(&schema()).keys() {
        let mut document = document();
        let (table, _) = holder(&mut document, steps);
        table.insert("zebra".to_owned(), Value::Boolean(true));

        let (config, problems) = parse(&text(&document), "full.toml");

        assert!(config.is_none(), "{steps:?}");
        assert!(problems.iter().any(|p| p.message == "unknown key \"zebra\""), "{steps:?}");
        assert!(!is_valid(&document), "{steps:?}");
    }
}

#[test]
fn a_required_key_that_is_missing_is_refused_by_walker_and_schema_alike() {
    let required =
        keys(&schema()).into_iter().filter(|(_, s)| s["description"].as_str().unwrap().ends_with(" Required."));
    for (steps, _) in required {
        let mut document = document();
        let (table, name) = holder(&mut document, &steps);
        table.remove(&name);

        let (config, problems) = parse(&text(&document), "full.toml");

        assert!(config.is_none(), "{steps:?}");
        assert!(problems.iter().any(|p| p.key.ends_with(&name)), "{steps:?}: {problems}");
        assert!(!is_valid(&document), "{steps:?}");
    }
}

#[test]
fn leaving_a_key_out_is_the_same_as_writing_its_default() {
    let mut compared = 0;
    for (steps, schema) in keys(&schema()) {
        let Some(default) = schema.get("default") else { continue };
        let [mut written, mut absent] = [document(), document()];
        let (table, name) = holder(&mut written, &steps);
        table.insert(name, Value::try_from(default).unwrap());
        let (table, name) = holder(&mut absent, &steps);
        table.remove(&name);

        let [written, absent] = [written, absent].map(|document| parse(&text(&document), "full.toml").0);

        assert!(written.is_some() && written == absent, "{steps:?}");
        compared += 1;
    }
    assert!(compared > 20);
}

#[test]
fn a_section_that_is_left_out_is_the_same_as_an_empty_one() {
    let base =
        "[listeners.web]\nlisten = \"a:1\"\n[[routes]]\nupstream = \"u\"\n[upstreams.u]\nendpoints = [\"b:1\"]\n";
    let sections = "[limits]\n[drain]\n[log]\n[listeners.web.timeouts]\n[upstreams.u.timeouts]\n[upstreams.u.pool]\n";

    let [without, with] = [base.to_owned(), format!("{base}{sections}")].map(|source| parse(&source, "").0);

    assert!(without.is_some());
    assert_eq!(without, with);
}

#[test]
fn the_schema_refuses_what_is_out_of_range() {
    for (key, value) in
        [("workers", json!(0)), ("trusted_proxies", json!(["10.0.0.1"])), ("log", json!({ "level": "loud" }))]
    {
        let mut document = serde_json::to_value(document()).unwrap();
        document[key] = value;
        assert!(!jsonschema::draft202012::is_valid(&schema(), &document), "{key}");
    }
}
