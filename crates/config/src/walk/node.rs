//! One value of the file, of whatever type.

use super::Section;
use crate::{
    error::{Finding, Place, Report},
    shape::Table,
};
use std::{borrow::Cow, fmt::Display, str::FromStr};
use toml::{Spanned, de::DeValue};

/// A value somewhere in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(super) value: &'a Spanned<DeValue<'a>>,
    pub(super) report: &'a Report,
}

/// A name chosen by the operator, and what stands under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// The name as written.
    pub(crate) name: &'a str,
    /// Where it is written.
    pub(crate) place: Place,
    /// What stands under it.
    pub(crate) node: Node<'a>,
}

impl<'a> Node<'a> {
    /// What it is.
    pub(super) fn content(self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Where it is.
    pub(crate) fn place(self) -> Place {
        self.value.span().into()
    }

    /// Tells the report that something about this value is wrong.
    pub(crate) fn refuse(self, message: impl Into<String>, hint: impl Into<String>) {
        self.report.add(Finding::error(self.place(), message).hint(hint));
    }

    pub(crate) fn report(self) -> &'a Report {
        self.report
    }

    pub(crate) fn other_type(self, wanted: &str, hint: Option<String>) {
        let found = self.content();
        let message = format!("expected {wanted}, found {} {}", article(found.type_str()), found.type_str());
        let finding = Finding::error(self.place(), message);
        self.report.add(match hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }

    /// The text, when it is a string. Says nothing when it is not: for values that may be of several types.
    pub(crate) fn as_text(self) -> Option<&'a str> {
        self.content().as_str()
    }

    pub(crate) fn is_table(self) -> bool {
        self.content().is_table()
    }

    pub(crate) fn is_list(self) -> bool {
        self.content().is_array()
    }

    pub(crate) fn is_empty_table(self) -> bool {
        self.content().as_table().is_some_and(|table| table.is_empty())
    }

    /// The number, when it is a whole one. Says nothing when it is not.
    pub(crate) fn as_integer(self) -> Option<i64> {
        let number = self.content().as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// The text, or a complaint that it is no string.
    pub(crate) fn text(self) -> Option<&'a str> {
        if self.as_text().is_none() {
            self.other_type("a string", self.bare().map(|text| format!("write it in quotes: \"{text}\"")));
        }
        self.as_text()
    }

    /// What was written without quotes, when it is short enough to repeat.
    pub(super) fn bare(self) -> Option<String> {
        match self.content() {
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::String(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        }
    }

    /// The text as something that reads itself from text; `what` names it ("an address").
    pub(crate) fn parsed<T: FromStr<Err: Display>>(self, what: &str) -> Option<T> {
        let text = self.text()?;
        text.parse().map_err(|error: T::Err| self.refuse(format!("{text:?} is not {what}"), error.to_string())).ok()
    }

    /// Whether it is `true`; anything else is refused, `false` with the hint.
    pub(crate) fn affirmed(self, wanted: &str, hint: &str) -> bool {
        match self.content().as_bool() {
            Some(true) => return true,
            Some(false) => self.refuse("only true can be written here", hint),
            None => self.other_type(wanted, None),
        }
        false
    }

    /// The elements of a list of at least `least`. None when it is no list.
    pub(crate) fn list(self, least: usize) -> Vec<Node<'a>> {
        let Some(array) = self.content().as_array() else {
            let hint = self.as_text().map(|text| format!("write a list: [{text:?}]"));
            self.other_type("a list", hint);
            return Vec::new();
        };
        if array.len() < least {
            self.refuse("an empty list", "write at least one, or leave the key away");
        }
        array.iter().map(|value| Node { value, report: self.report }).collect()
    }

    /// The table as a section with these keys.
    pub(crate) fn section(self, known: &'static Table) -> Option<Section<'a>> {
        let Some(table) = self.content().as_table() else {
            self.other_type("a table", None);
            return None;
        };
        Some(Section::open(table, self.place(), known, self.report))
    }

    /// The table as names with something under each, in alphabetical order.
    pub(crate) fn entries(self) -> Vec<Entry<'a>> {
        let Some(table) = self.content().as_table() else {
            self.other_type("a table", None);
            return Vec::new();
        };
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<_>)| Entry::of(key, value, self.report);
        table.iter().map(entry).collect()
    }
}

impl<'a> Entry<'a> {
    /// The name under which something stands, as a name of this kind.
    pub(crate) fn parsed_name<T: FromStr<Err: Display>>(self) -> Option<T> {
        let refuse = |error: T::Err| {
            let finding = Finding::error(self.place, format!("{:?} is not a name", self.name));
            self.node.report.add(finding.hint(error.to_string()));
        };
        self.name.parse().map_err(refuse).ok()
    }

    pub(super) fn of(key: &'a Spanned<Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>, report: &'a Report) -> Entry<'a> {
        Self { name: key.get_ref(), place: key.span().into(), node: Node { value, report } }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
