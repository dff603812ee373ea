//! The types that a value can be read as: each within the range that the table gives.

use super::Node;
use crate::{
    nearest::nearest,
    shape::{Literal, Shape},
};
use evenkeel_model::{ByteSize, Duration, UnitError, parse_duration, parse_size};
use toml::de::DeValue;

/// A type that a value of the file can be read as, given the shape that its key has.
pub(crate) trait Value<'a>: Sized {
    /// The value, or `None` after telling the report why not.
    fn read(node: Node<'a>, shape: &Shape) -> Option<Self>;
    /// The default, when it is of this type.
    fn preset(literal: &'static Literal) -> Option<Self>;
}

/// One of the words of a choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(pub(crate) &'static str);

impl<'a> Value<'a> for bool {
    fn read(node: Node<'a>, _: &Shape) -> Option<Self> {
        let value = node.content().as_bool();
        if value.is_none() {
            node.other_type("true or false", None);
        }
        value
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Boolean(value) = literal { Some(*value) } else { None }
    }
}

impl<'a> Value<'a> for i64 {
    fn read(node: Node<'a>, shape: &Shape) -> Option<Self> {
        let Shape::Integer { min, max } = shape else { unreachable!("only whole numbers are read this way") };
        let Some(number) = node.content().as_integer() else {
            let digits = node.as_text().filter(|text| text.parse::<Self>().is_ok());
            node.other_type("a whole number", digits.map(|text| format!("write it without quotes: {text}")));
            return None;
        };
        let within = node.as_integer().filter(|value| (min..=max).contains(&value));
        if within.is_none() {
            node.refuse(format!("{number} is out of range"), format!("{min} to {max}"));
        }
        within
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Integer(value) = literal { Some(*value) } else { None }
    }
}

/// Narrower numbers, whose table gives a range that fits them.
macro_rules! number {
    ($($number:ty),*) => { $(
        impl<'a> Value<'a> for $number {
            fn read(node: Node<'a>, shape: &Shape) -> Option<Self> {
                i64::read(node, shape).map(|value| value.try_into().expect("the key's range fits its type"))
            }

            fn preset(literal: &'static Literal) -> Option<Self> {
                i64::preset(literal)?.try_into().ok()
            }
        }
    )* };
}
number!(u16, u32, usize);

impl<'a> Value<'a> for Duration {
    fn read(node: Node<'a>, shape: &Shape) -> Option<Self> {
        let Shape::Duration { min, max } = shape else { unreachable!("only times are read this way") };
        let text = quantity(node, "a time", &["s", "ms", "m"])?;
        let time = match parse_duration(text) {
            Ok(time) => time,
            Err(error) => return unit_error(node, text, "a time", &error, &["s", "ms", "m"]),
        };
        if !(*min..=*max).contains(&time) {
            let say = |time: &Self| humantime::format_duration(*time).to_string();
            let range = if time < *min { format!("at least {}", say(min)) } else { format!("at most {}", say(max)) };
            node.refuse(format!("{text:?} is out of range"), range);
            return None;
        }
        Some(time)
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Text(text) = literal { parse_duration(text).ok() } else { None }
    }
}

impl<'a> Value<'a> for ByteSize {
    fn read(node: Node<'a>, shape: &Shape) -> Option<Self> {
        let Shape::Size { min, max } = shape else { unreachable!("only sizes are read this way") };
        let text = quantity(node, "a size", &["KiB", "MiB", "B"])?;
        let size = match parse_size(text) {
            Ok(size) => size,
            Err(error) => return unit_error(node, text, "a size", &error, &["KiB", "MiB", "B"]),
        };
        if !(*min..=*max).contains(&size.0) {
            node.refuse(format!("{text:?} is out of range"), format!("{} to {}", say_bytes(*min), say_bytes(*max)));
            return None;
        }
        Some(size)
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Text(text) = literal { parse_size(text).ok() } else { None }
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(node: Node<'a>, _: &Shape) -> Option<Self> {
        node.text()
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Text(text) = literal { Some(text) } else { None }
    }
}

impl<'a> Value<'a> for Word {
    fn read(node: Node<'a>, shape: &Shape) -> Option<Self> {
        let Shape::Choice { words, later } = shape else { unreachable!("only choices are read this way") };
        let text = node.text()?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(Self(word));
        }
        let known = || words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        if later.contains(&text) {
            node.refuse(format!("{text:?} is not in this version"), format!("in this one: {}", known()));
        } else {
            let hint = match nearest(text, words.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("one of {}", known()),
            };
            node.refuse(format!("{text:?} is not known here"), hint);
        }
        None
    }

    fn preset(literal: &'static Literal) -> Option<Self> {
        if let Literal::Text(text) = literal { Some(Self(text)) } else { None }
    }
}

/// The text of a quantity with a unit; a bare number lacks its unit.
fn quantity<'a>(node: Node<'a>, what: &str, units: &[&str]) -> Option<&'a str> {
    match node.content() {
        DeValue::Integer(_) | DeValue::Float(_) => {
            let number = node.bare().expect("a number is written bare");
            unit_error(node, &number, what, &UnitError::NoUnit, units)
        }
        DeValue::String(text) => Some(text),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            node.other_type(&format!("{what} such as \"5{}\"", units[0]), None);
            None
        }
    }
}

fn unit_error<T>(node: Node<'_>, text: &str, what: &str, error: &UnitError, units: &[&str]) -> Option<T> {
    match error {
        UnitError::NoUnit => {
            let choices: Vec<String> = units.iter().map(|unit| format!("\"{text}{unit}\"")).collect();
            node.refuse("the unit is missing", format!("write {}", choices.join(" or ")));
        }
        UnitError::Malformed(why) => node.refuse(format!("{text:?} is not {what}"), why.clone()),
    }
    None
}

fn say_bytes(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.into_iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size));
    fits.map_or_else(|| format!("{bytes}B"), |(size, unit)| format!("{}{unit}", bytes / size))
}
