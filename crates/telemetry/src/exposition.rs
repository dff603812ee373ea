//! Writes the Prometheus text format, version 0.0.4
//! (prometheus.io/docs/instrumenting/exposition_formats, "Text-based format").
//!
//! Used by whoever owns a family, one after the other, for one scrape: `health`, `proxy` and this crate.

use crate::{
    HistogramSnapshot,
    names::{Family, Kind},
};
use std::{collections::HashSet, fmt::Write as _};

/// A scrape's text while it is written: a family, then its samples, then the next family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    current: Option<Family>,
    begun: HashSet<&'static str>,
}

/// The number of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Unsigned(u64),
    /// A difference of counts.
    Signed(i64),
    /// A measurement.
    Float(f64),
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a family: what follows are its samples, all of them.
    pub fn family(&mut self, family: &Family) -> &mut Self {
        let first_time = self.begun.insert(family.name);
        debug_assert!(first_time, "the family {} has two sources", family.name);
        self.current = Some(*family);
        self.text.push_str("# HELP ");
        self.text.push_str(family.name);
        self.text.push(' ');
        escape(&mut self.text, family.help, false);
        let _ = write!(self.text, "\n# TYPE {} {}\n", family.name, family.kind.as_str());
        self
    }

    /// One sample of the current family, a counter or a gauge. Labels in the order of OPERATING's table.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        let family = self.begun_family();
        debug_assert_ne!(family.kind, Kind::Histogram, "{} is a histogram", family.name);
        self.line(family.name, "", labels, None, value.into());
        self
    }

    /// One series of the current family, a histogram: its buckets, its sum and its count.
    pub fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &HistogramSnapshot) -> &mut Self {
        let family = self.begun_family();
        debug_assert_eq!(family.kind, Kind::Histogram, "{} is no histogram", family.name);
        for (le, count) in snapshot.cumulative() {
            self.line(family.name, "_bucket", labels, Some(le), Value::Unsigned(count));
        }
        self.line(family.name, "_sum", labels, None, Value::Float(snapshot.sum_seconds()));
        self.line(family.name, "_count", labels, None, Value::Unsigned(snapshot.count()));
        self
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn begun_family(&self) -> Family {
        self.current.expect("a family is begun before its first sample")
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: Value) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut open = '{';
        for (label, text) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.text.push(open);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, text, true);
            self.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        value.write(&mut self.text);
        self.text.push('\n');
    }
}

impl Value {
    fn write(self, text: &mut String) {
        match self {
            Self::Unsigned(n) => text.push_str(itoa::Buffer::new().format(n)),
            Self::Signed(n) => text.push_str(itoa::Buffer::new().format(n)),
            Self::Float(n) if n.is_infinite() => text.push_str(if n > 0.0 { "+Inf" } else { "-Inf" }),
            Self::Float(n) => {
                let _ = write!(text, "{n}");
            }
        }
    }
}

/// A backslash, a line feed and, within a label, a quote are escaped; nothing else may be.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Unsigned(n)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Unsigned(n as u64)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Signed(n)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Float(n)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Unsigned(u64::from(yes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Histogram, names};
    use std::time::Duration;

    #[test]
    fn a_family_is_its_help_its_type_and_its_samples() {
        let mut page = Exposition::new();
        page.family(&names::CONNECTIONS).sample(&[("listener", "web")], 3_i64).sample(&[], true);
        page.family(&names::WORKER_LOOP_LAG).sample(&[("worker", "0")], 0.25).sample(&[], f64::INFINITY);

        assert_eq!(
            page.finish(),
            "# HELP evenkeel_connections Open client connections.\n\
             # TYPE evenkeel_connections gauge\n\
             evenkeel_connections{listener=\"web\"} 3\n\
             evenkeel_connections 1\n\
             # HELP evenkeel_worker_loop_lag_seconds How late the worker's last timer was: how long a ready task waits for its turn.\n\
             # TYPE evenkeel_worker_loop_lag_seconds gauge\n\
             evenkeel_worker_loop_lag_seconds{worker=\"0\"} 0.25\n\
             evenkeel_worker_loop_lag_seconds +Inf\n"
        );
    }

    #[test]
    fn a_histogram_is_its_buckets_its_sum_and_its_count() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        histogram.observe(Duration::from_secs(40));
        let mut page = Exposition::new();
        page.family(&names::UPSTREAM_DURATION).histogram(&[("upstream", "a")], &histogram.snapshot());
        let text = page.finish();

        for line in [
            "evenkeel_upstream_duration_seconds_bucket{upstream=\"a\",le=\"0.001\"} 0\n",
            "evenkeel_upstream_duration_seconds_bucket{upstream=\"a\",le=\"0.0025\"} 1\n",
            "evenkeel_upstream_duration_seconds_bucket{upstream=\"a\",le=\"30\"} 1\n",
            "evenkeel_upstream_duration_seconds_bucket{upstream=\"a\",le=\"+Inf\"} 2\n",
            "evenkeel_upstream_duration_seconds_sum{upstream=\"a\"} 40.002\n",
            "evenkeel_upstream_duration_seconds_count{upstream=\"a\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut page = Exposition::new();
        page.family(&names::CONNECTIONS).sample(&[("listener", "a\\b\"} 1\nx")], 1_u64);
        assert!(page.finish().ends_with("{listener=\"a\\\\b\\\"} 1\\nx\"} 1\n"));
    }

    #[test]
    #[should_panic(expected = "two sources")]
    #[cfg(debug_assertions)]
    fn a_family_with_two_sources_is_noticed_while_we_develop() {
        Exposition::new().family(&names::CONNECTIONS).family(&names::CONNECTIONS);
    }
}
