//! Faults of syntax, said so that one sees what to write.
//!
//! After one fault the parser goes on and meets more that are only its echo. Here the echoes are taken out: one fault a line, and what
//! an unclosed list or table swallowed is not told at all.

use crate::error::{Finding, Lines};
use std::{collections::HashSet, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// What is wrong with the text as TOML.
#[derive(Debug, Default)]
pub(crate) struct Syntax {
    /// In the order of the file.
    pub(crate) faults: Vec<Finding>,
    /// Bytes in which nothing can be told, since they are inside something that is never closed.
    pub(crate) swallowed: Vec<Range<usize>>,
}

impl Syntax {
    pub(crate) fn of(source: &str, root: &DeTable<'_>, errors: &[Error]) -> Self {
        let mut syntax = Self::default();
        if errors.is_empty() {
            return syntax;
        }
        for value in root.values() {
            syntax.find_unclosed(source, value);
        }
        let mut errors: Vec<_> = errors.iter().filter(|error| !syntax.swallows(start(error))).collect();
        errors.sort_by_key(|error| start(error));
        let mut told = HashSet::new();
        let lines = Lines::of(source);
        for error in errors {
            if told.insert(lines.line(start(error))) {
                syntax.faults.push(fault(source, error));
            }
        }
        syntax
    }

    /// Whether a place is inside something that is never closed.
    pub(crate) fn swallows(&self, offset: usize) -> bool {
        // Its end is the end of the file, where the parser notices: that belongs to it.
        self.swallowed.iter().any(|range| range.start < offset && offset <= range.end)
    }

    fn find_unclosed(&mut self, source: &str, value: &Spanned<DeValue<'_>>) {
        let span = value.span();
        let text = source.get(span.clone()).unwrap_or_default();
        let closed = |open, close| !text.starts_with(open) || (text.len() > 1 && text.ends_with(close));
        match value.get_ref() {
            // A section's place is its header, which is no `{`.
            DeValue::Table(_) if !closed('{', '}') => self.unclosed(span, "this table is never closed", "}"),
            DeValue::Array(_) if !closed('[', ']') => self.unclosed(span, "this list is never closed", "]"),
            DeValue::Table(table) => table.values().for_each(|value| self.find_unclosed(source, value)),
            DeValue::Array(array) => array.iter().for_each(|value| self.find_unclosed(source, value)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn unclosed(&mut self, span: Range<usize>, message: &str, close: &str) {
        let open = span.start..span.start + 1;
        self.faults.push(Finding::error(open.into(), message).hint(format!("write {close} where it ends")));
        self.swallowed.push(span);
    }
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn fault(source: &str, error: &Error) -> Finding {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let bare = bare_value(source, span.clone());
    let word = &source[bare.clone()];
    let unquoted = message.starts_with("string values must be quoted") || message.starts_with("invalid float");
    if unquoted && !word.is_empty() && word.len() <= 60 && !word.contains('\\') {
        let finding = Finding::error(bare.clone().into(), "text without quotes");
        return finding.hint(format!("write it in quotes: \"{word}\""));
    }
    let finding = Finding::error(span.into(), message);
    match message.split(',').next().unwrap_or_default() {
        "duplicate key" => finding.hint("each key and each section is written once: put the two together"),
        "key with no value" | "invalid key-value pair" => finding.hint("write KEY = VALUE"),
        _ => finding,
    }
}

/// The run of characters around a place that could be a value without quotes.
fn bare_value(source: &str, span: Range<usize>) -> Range<usize> {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '=' | '[' | ']' | '{' | '}' | '#' | '"' | '\'');
    let before = source[..span.start].char_indices().rev().find(|(_, c)| ends(*c));
    let from = before.map_or(0, |(at, c)| at + c.len_utf8());
    let to = source[span.start..].find(ends).map_or(source.len(), |length| span.start + length);
    from..to
}
