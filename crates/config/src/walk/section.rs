//! A table of the file whose keys are known.

use super::{Entry, Node, value::Value};
use crate::{
    error::{Finding, Place, Report},
    nearest::nearest,
    shape::{Absent, Key, Shape, Table},
};
use std::cell::Cell;
use toml::de::DeTable;

/// A table of the file, opened as a known section.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    known: &'static Table,
    table: &'a DeTable<'a>,
    place: Place,
    report: &'a Report,
    /// A key of the table that an unknown key seems to stand for: then it is misspelt, not missing.
    misspelt: Cell<Option<&'static str>>,
}

impl<'a> Section<'a> {
    /// Opens the whole file or a table in it, and refuses the keys that it should not have.
    pub(crate) fn open(table: &'a DeTable<'a>, place: Place, known: &'static Table, report: &'a Report) -> Self {
        let section = Self { known, table, place, report, misspelt: Cell::new(None) };
        for (key, _) in table.iter().filter(|(key, _)| known.key(key.get_ref()).is_none()) {
            section.refuse_key(key.get_ref(), key.span().into());
        }
        section
    }

    fn refuse_key(&self, name: &str, place: Place) {
        if self.known.later.contains(&name) {
            let finding = Finding::error(place, format!("{name:?} is not in this version"));
            self.report.add(finding.hint("the key is reserved for a later one: take it out"));
            return;
        }
        let names = || self.known.keys.iter().map(|key| key.name);
        let meant = nearest(name, names());
        let hint = match meant {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
        };
        if let Some(key) = meant.and_then(|meant| self.known.key(meant)) {
            self.misspelt.set(Some(key.name));
        }
        self.report.add(Finding::error(place, format!("unknown key {name:?}")).hint(hint));
    }

    /// Where the section is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Where the value of a key is; the section, when it is not written.
    pub(crate) fn place_of(&self, name: &str) -> Place {
        self.node(name).map_or(self.place, Node::place)
    }

    pub(crate) fn report(&self) -> &'a Report {
        self.report
    }

    fn key(&self, name: &str) -> &'static Key {
        self.known.key(name).expect("readers ask for keys of their own table")
    }

    /// What is written under a key.
    pub(crate) fn node(&self, name: &str) -> Option<Node<'a>> {
        let key = self.key(name);
        self.table.get(key.name).map(|value| Node { value, report: self.report })
    }

    /// Everything written in this section under a key that its table knows.
    pub(crate) fn written(&self) -> Vec<Entry<'a>> {
        let known = self.table.iter().filter(|(key, _)| self.known.key(key.get_ref()).is_some());
        known.map(|(key, value)| Entry::of(key, value, self.report)).collect()
    }

    /// What is written under a key that must be.
    pub(crate) fn required(&self, name: &str) -> Option<Node<'a>> {
        let node = self.node(name);
        if node.is_none() {
            self.missing(name, format!("{name:?} is missing"), None);
        }
        node
    }

    /// Tells the report that a key should be here; not when it is misspelt, which has been told.
    pub(crate) fn missing(&self, name: &str, message: String, hint: Option<String>) {
        let key = self.key(name).name;
        if self.misspelt.get() == Some(key) {
            return;
        }
        let finding = Finding::missing(self.place, key, message);
        self.report.add(match hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }

    /// The value of a key, or its default when it is not written; `None` when it has none or the value is wrong.
    pub(crate) fn get<T: Value<'a>>(&self, name: &str) -> Option<T> {
        let key = self.key(name);
        match (self.node(name), &key.absent) {
            (Some(node), _) => T::read(node, &key.shape),
            (None, Absent::Takes(literal)) => T::preset(literal),
            (None, Absent::Refused | Absent::Means(_) | Absent::Silent) => None,
        }
    }

    /// The value of a key that has a default; the default also when the value is wrong, which has been told then.
    pub(crate) fn preset<T: Value<'a>>(&self, name: &str) -> T {
        let Absent::Takes(literal) = &self.key(name).absent else {
            unreachable!("only keys with a default are read this way");
        };
        self.get(name).or_else(|| T::preset(literal)).expect("a default is of its key's type")
    }

    /// The section under a key, when it is written.
    pub(crate) fn section(&self, name: &str) -> Option<Section<'a>> {
        let Shape::Table(known) = self.key(name).shape else {
            unreachable!("only sections are opened this way");
        };
        self.node(name)?.section(known)
    }

    /// The elements of the list under a key; none when it is not written.
    pub(crate) fn list(&self, name: &str) -> Vec<Node<'a>> {
        let Shape::List(_, least) = self.key(name).shape else {
            unreachable!("only lists are read this way");
        };
        self.node(name).map_or_else(Vec::new, |node| node.list(least))
    }
}
