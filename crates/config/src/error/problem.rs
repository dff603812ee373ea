//! Everything that is wrong with a file, in its order.

use super::render;
use std::{fmt, ops::Range, sync::Arc};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted, but probably not what was meant.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// The path of the key, such as `upstreams.api.endpoints[2].weight`; empty where there is none.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The bytes to underline.
    pub(super) span: Range<usize>,
    /// Another place that belongs to it: its line, its bytes, and why.
    pub(super) related: Option<Related>,
}

/// Another place that belongs to a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Related {
    pub(super) line: usize,
    pub(super) span: Range<usize>,
    pub(super) label: &'static str,
}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Clone, Default)]
pub struct Problems {
    pub(super) file: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) list: Vec<Problem>,
}

impl Problems {
    /// One error about the file as a whole: it could not be read.
    pub(crate) fn whole_file(file: &str, message: String, hint: Option<String>) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            line: 0,
            column: 0,
            key: String::new(),
            message,
            hint,
            span: 0..0,
            related: None,
        };
        Self { file: file.into(), source: "".into(), list: vec![problem] }
    }

    /// Each problem, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, errors and warnings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// For people: each problem with its place, the source line underlined, and its hint; empty when there is none.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render::render(self, color)
    }

    /// A closing line such as `2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |n: usize, one: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {one}s")),
        };
        let parts = [count(self.errors(), "error"), count(self.len() - self.errors(), "warning")];
        let told: Vec<String> = parts.into_iter().flatten().collect();
        if told.is_empty() { "no problems".to_owned() } else { told.join(", ") }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// For logs: one problem a line, `file:line:column: error: message (hint)`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if problem.line > 0 {
                write!(f, ":{}:{}", problem.line, problem.column)?;
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

/// `error: message (hint)`, on one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Without the source, which would drown everything else.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problems").field("file", &self.file).field("list", &self.list).finish_non_exhaustive()
    }
}

impl std::error::Error for Problems {}
