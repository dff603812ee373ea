//! The words in which the tables of `file` say what may stand in the file.
//!
//! One table of keys for each section is the only place that knows a key's name, type, range, default and meaning. `walk` refuses what
//! no table knows and reads values within these ranges; `schema` turns the same tables into JSON Schema.

use evenkeel_model::Duration;

/// A section of the file.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the section is.
    pub(crate) doc: &'static str,
    /// The keys it may have.
    pub(crate) keys: &'static [Key],
    /// Keys of features that come later: refused, but as what they are and not as unknown.
    pub(crate) later: &'static [&'static str],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What may stand behind it.
    pub(crate) shape: Shape,
    /// What holds when it is not written.
    pub(crate) absent: Absent,
    /// What it does and why one would write it.
    pub(crate) doc: &'static str,
}

/// What holds when a key is not written.
#[derive(Debug)]
pub(crate) enum Absent {
    /// It must be written.
    Refused,
    /// This value.
    Takes(Literal),
    /// Something no value can say, such as "no limit".
    Means(&'static str),
    /// Nothing worth saying: a section whose keys have their own defaults, or one choice among several.
    Silent,
}

/// A value as it could be written.
#[derive(Debug)]
pub(crate) enum Literal {
    Text(&'static str),
    Integer(i64),
    Boolean(bool),
    List(&'static [Literal]),
}

/// What may stand behind a key.
#[derive(Debug)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Boolean,
    /// Only `true`: to say no, the key is left away.
    True,
    /// A whole number within a range, both ends included.
    Integer { min: i64, max: i64 },
    /// A string such as `"5s"`, within a range.
    Duration { min: Duration, max: Duration },
    /// A string such as `"64KiB"`, within a range of bytes.
    Size { min: u64, max: u64 },
    /// A string; the pattern (JSON Schema, ECMA 262) is what an editor can check, the reader checks the rest. Empty: any string.
    Text(&'static str),
    /// One of these words; those of `later` are refused as not in this version.
    Choice { words: &'static [&'static str], later: &'static [&'static str] },
    /// A list of so many at least.
    List(&'static Shape, usize),
    /// A section.
    Table(&'static Table),
    /// Sections under names of the operator's choice.
    Named(&'static Table),
    /// A table with exactly one of these keys.
    OneKey(&'static Table),
    /// Any keys, each with such a value.
    Pairs(&'static Shape),
    /// One or the other.
    Either(&'static Shape, &'static Shape),
}

/// The longest time that may be written, a year as humantime counts. Long enough for "never", short enough that adding it to a clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(31_557_600);

impl Shape {
    /// A timeout: never zero, which would refuse everything.
    pub(crate) const TIMEOUT: Self = Self::at_least(Duration::from_millis(1));
    /// A time that may be zero.
    pub(crate) const TIME: Self = Self::at_least(Duration::ZERO);
    /// A TCP port that can be connected to.
    pub(crate) const PORT: Self = Self::Integer { min: 1, max: 65535 };
    /// Bytes of a body.
    pub(crate) const BODY: Self = Self::Size { min: 0, max: i64::MAX as u64 };
    /// Bytes in a second: never zero, which would ask for nothing.
    pub(crate) const RATE: Self = Self::Size { min: 1, max: i64::MAX as u64 };
    /// An address: what [`evenkeel_model::Address`] reads.
    pub(crate) const ADDRESS: Self = Self::Text("^(unix:/.+|[^/]+:[0-9]+)$");
    /// A list of networks: what [`ipnet::IpNet`] reads.
    pub(crate) const NETWORKS: Self = Self::List(&Self::Text("^[0-9A-Fa-f.:]+/[0-9]+$"), 0);
    /// A name: what [`evenkeel_model::UpstreamName`] reads.
    pub(crate) const NAME: Self = Self::Text(Self::NAME_PATTERN);
    pub(crate) const NAME_PATTERN: &'static str = "^[a-z0-9][a-z0-9_-]{0,63}$";
    /// A path, perhaps with a query.
    pub(crate) const PATH: Self = Self::Text("^/");
    /// The name of a header field (RFC 9110, section 5.6.2).
    pub(crate) const FIELD: Self = Self::Text("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

    /// A time of at least `min`.
    pub(crate) const fn at_least(min: Duration) -> Self {
        Self::Duration { min, max: LONGEST }
    }
}

impl Key {
    /// A key that must be written.
    pub(crate) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, absent: Absent::Refused, doc }
    }

    /// A key with a default value.
    pub(crate) const fn preset(name: &'static str, shape: Shape, value: Literal, doc: &'static str) -> Self {
        Self { name, shape, absent: Absent::Takes(value), doc }
    }

    /// A key whose absence means something that no value says.
    pub(crate) const fn optional(name: &'static str, shape: Shape, means: &'static str, doc: &'static str) -> Self {
        Self { name, shape, absent: Absent::Means(means), doc }
    }

    /// A key whose absence needs no words.
    pub(crate) const fn part(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, absent: Absent::Silent, doc }
    }
}

impl Table {
    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
