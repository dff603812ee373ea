//! The JSON Schema of the file (draft 2020-12), for editors: the tables of `file` in another notation, and nothing else.

use crate::{
    file,
    shape::{Absent, Key, Literal, Shape, Table},
};
use serde_json::{Map, Value, json};

/// The JSON Schema of the configuration file: every key with its meaning, its range and its default.
///
/// It is what an editor can check while one types. References between sections are left to `check`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(&file::ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of Evenkeel");
    schema
}

fn table(table: &Table) -> Value {
    let properties: Map<String, Value> = table.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = table.keys.iter().filter(|k| matches!(k.absent, Absent::Refused)).map(|k| k.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = of(&key.shape);
    schema["description"] = json!(match &key.absent {
        Absent::Takes(value) => format!("{} Default: {}.", key.doc, value.to_json()),
        Absent::Means(words) => format!("{} Default: {words}.", key.doc),
        Absent::Refused => format!("{} Required.", key.doc),
        Absent::Silent => key.doc.to_owned(),
    });
    if let Absent::Takes(value) = &key.absent {
        schema["default"] = value.to_json();
    }
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::True => json!({ "const": true }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Duration { .. } => json!({ "type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+$" }),
        Shape::Size { .. } => json!({ "type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*$" }),
        Shape::Text("") => json!({ "type": "string" }),
        Shape::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Choice { words, .. } => json!({ "enum": words }),
        Shape::List(element, 0) => json!({ "type": "array", "items": of(element) }),
        Shape::List(element, least) => json!({ "type": "array", "items": of(element), "minItems": least }),
        Shape::Table(section) => table(section),
        Shape::Named(section) => json!({
            "type": "object",
            "propertyNames": { "pattern": Shape::NAME_PATTERN },
            "additionalProperties": table(section),
        }),
        Shape::OneKey(section) => {
            let mut schema = table(section);
            schema["minProperties"] = json!(1);
            schema["maxProperties"] = json!(1);
            schema
        }
        Shape::Pairs(value) => json!({ "type": "object", "additionalProperties": of(value) }),
        Shape::Either(one, other) => json!({ "anyOf": [of(one), of(other)] }),
    }
}

impl Literal {
    /// Also its notation in TOML, for strings without escapes, numbers, booleans and lists of them are written alike.
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Integer(number) => json!(number),
            Self::Boolean(value) => json!(value),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
        }
    }
}
