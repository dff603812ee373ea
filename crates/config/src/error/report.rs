//! Collects what is wrong while the file is walked.

use super::{
    lines::Lines,
    problem::{Problem, Problems, Related, Severity},
};
use crate::syntax::Syntax;
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Some bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    start: usize,
    end: usize,
}

/// Something that is wrong, at a place.
#[derive(Debug)]
pub(crate) struct Finding {
    severity: Severity,
    place: Place,
    missing: Option<&'static str>,
    message: String,
    hint: Option<String>,
    related: Option<(Place, &'static str)>,
}

/// All findings so far. Shared by every part of the walk, which is one thread.
#[derive(Debug)]
pub(crate) struct Report {
    findings: RefCell<Vec<Finding>>,
    /// Where the file is not even TOML.
    syntax: Syntax,
}

impl From<Range<usize>> for Place {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl Finding {
    /// The configuration is refused.
    pub(crate) fn error(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, missing: None, message: message.into(), hint: None, related: None }
    }

    /// The configuration is accepted all the same.
    pub(crate) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// A key that should be in the section at this place.
    pub(crate) fn missing(section: Place, key: &'static str, message: impl Into<String>) -> Self {
        Self { missing: Some(key), ..Self::error(section, message) }
    }

    /// What to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Another place that belongs to it.
    pub(crate) fn related(self, place: Place, label: &'static str) -> Self {
        Self { related: Some((place, label)), ..self }
    }
}

impl Report {
    /// A report on a file with these faults of syntax.
    pub(crate) fn new(syntax: Syntax) -> Self {
        Self { findings: RefCell::default(), syntax }
    }

    pub(crate) fn add(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// How much has been found, apart from syntax.
    pub(crate) fn len(&self) -> usize {
        self.findings.borrow().len()
    }

    /// Whether the file is TOML, so that what is not in it was not written.
    pub(crate) fn is_toml(&self) -> bool {
        self.syntax.faults.is_empty()
    }

    /// Whether the configuration is refused.
    pub(crate) fn refuses(&self) -> bool {
        !self.is_toml() || self.findings.borrow().iter().any(|f| f.severity == Severity::Error)
    }

    /// Everything found, in the order of the file, each with the path of its key.
    pub(crate) fn into_problems(self, file: &str, source: &str, root: &DeTable<'_>) -> Problems {
        let lines = Lines::of(source);
        let mut found = self.findings.into_inner();
        if !self.syntax.faults.is_empty() {
            // Around a fault of syntax things seem missing or wrong that are not: only what stands on other lines is told.
            let broken: HashSet<usize> = self.syntax.faults.iter().map(|f| lines.line(f.place.start)).collect();
            let told = |place: Place| !broken.contains(&lines.line(place.start)) && !self.syntax.swallows(place.start);
            found.retain(|f| f.missing.is_none() && told(f.place));
        }
        found.extend(self.syntax.faults);
        found.sort_by(|a, b| (a.place.start, &a.message).cmp(&(b.place.start, &b.message)));
        let keys = Keys::of(root, found.iter().map(|f| f.place));
        let list = found.into_iter().map(|finding| finding.into_problem(&lines, &keys)).collect();
        Problems { file: file.into(), source: source.into(), list }
    }
}

impl Finding {
    fn into_problem(self, lines: &Lines<'_>, keys: &Keys) -> Problem {
        let place = self.place;
        let key = match (keys.paths.get(&place), self.missing) {
            (Some(section), Some(key)) => format!("{section}.{key}"),
            (None, Some(key)) => key.to_owned(),
            (path, None) => path.cloned().unwrap_or_default(),
        };
        Problem {
            severity: self.severity,
            line: lines.line(place.start),
            column: lines.column(place.start),
            key,
            message: self.message,
            hint: self.hint,
            span: place.start..place.end,
            related: self.related.map(|(at, label)| Related {
                line: lines.line(at.start),
                span: at.start..at.end,
                label,
            }),
        }
    }
}

/// The paths of the keys at some places. Found by one walk at the end, so that the walker need not carry a path for every value of a
/// file in which nearly all are right.
struct Keys {
    wanted: BTreeSet<Place>,
    paths: HashMap<Place, String>,
}

impl Keys {
    fn of(root: &DeTable<'_>, places: impl Iterator<Item = Place>) -> Self {
        let mut keys = Self { wanted: places.collect(), paths: HashMap::new() };
        if !keys.wanted.is_empty() {
            keys.walk_table(root, &mut String::new());
        }
        keys
    }

    fn walk_table(&mut self, table: &DeTable<'_>, path: &mut String) {
        for (key, value) in table {
            let before = path.len();
            if before > 0 {
                path.push('.');
            }
            path.push_str(key.get_ref());
            self.note(key.span().into(), path);
            self.walk_value(value, path);
            path.truncate(before);
        }
    }

    fn walk_value(&mut self, value: &Spanned<DeValue<'_>>, path: &mut String) {
        self.note(value.span().into(), path);
        match value.get_ref() {
            DeValue::Table(table) => self.walk_table(table, path),
            DeValue::Array(array) => {
                let before = path.len();
                for (index, element) in array.iter().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    self.walk_value(element, path);
                    path.truncate(before);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// A later note wins: the header `[[routes]]` is the place of the list and of its first element, and the element is meant.
    fn note(&mut self, place: Place, path: &str) {
        if self.wanted.contains(&place) {
            self.paths.insert(place, path.to_owned());
        }
    }
}
