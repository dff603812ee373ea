//! A scrape taken apart, and a check that it is well formed.
//!
//! The text format of Prometheus 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name before the labels, with `_bucket`, `_sum`, `_count` of histograms.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
    samples: Vec<Sample>,
}

impl Metrics {
    /// Takes a scrape apart.
    ///
    /// # Panics
    /// When a line is neither a comment nor a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect();
        Self { text: text.to_owned(), samples }
    }

    /// As it was scraped.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every sample of this name whose labels include these.
    pub fn all<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        })
    }

    /// The sum over all samples of this name whose labels include these; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }

    /// The only sample of this name whose labels include these, if it is there.
    ///
    /// # Panics
    /// When there are several.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<_> = self.all(name, labels).collect();
        assert!(found.len() <= 1, "{name} {labels:?} is ambiguous: {found:#?}");
        found.first().map(|sample| sample.value)
    }

    /// The values of a label over all samples of this name.
    #[must_use]
    pub fn label_values(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.all(name, &[]).filter_map(|sample| sample.labels.get(label).cloned()).collect()
    }

    /// Everything that is not as the format and our own rules want it; empty is good.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut check = Check::default();
        self.text.lines().for_each(|line| check.line(line));
        check.series(&self.samples);
        check.histograms(&self.samples);
        check.problems
    }
}

/// `name{label="value",..} value`, with `\\`, `\"` and `\n` in values.
fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim_start_matches(',').trim().to_owned(), value);
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Up to the closing quote: what it says, and what comes after.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[derive(Default)]
struct Check {
    kinds: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    finished: BTreeSet<String>,
    current: String,
    problems: Vec<String>,
}

impl Check {
    fn line(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), help) => {
                if help.is_none_or(str::is_empty) {
                    self.problems.push(format!("{name} has an empty HELP"));
                }
                if !self.helped.insert(name.to_owned()) {
                    self.problems.push(format!("{name} has HELP twice"));
                }
                self.enter(name);
            }
            (Some("#"), Some("TYPE"), Some(name), kind) => {
                if self.kinds.insert(name.to_owned(), kind.unwrap_or_default().to_owned()).is_some() {
                    self.problems.push(format!("{name} has TYPE twice"));
                }
                self.enter(name);
            }
            (Some("#" | "") | None, ..) => {}
            _ => self.sample(line),
        }
    }

    /// A family's lines come in one block.
    fn enter(&mut self, family: &str) {
        if self.current != family {
            let left = std::mem::replace(&mut self.current, family.to_owned());
            self.finished.insert(left);
            if self.finished.contains(family) {
                self.problems.push(format!("{family} comes in two places"));
            }
        }
    }

    fn sample(&mut self, line: &str) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|base| self.kinds.get(*base).is_some_and(|kind| kind == "histogram" || kind == "summary"))
            .unwrap_or(name)
            .to_owned();
        match self.kinds.get(&family).map(String::as_str) {
            None => self.problems.push(format!("{name} has no TYPE before it")),
            Some("counter") if !family.ends_with("_total") => {
                self.problems.push(format!("the counter {family} does not end in _total"));
            }
            Some(_) => {}
        }
        if !self.helped.contains(&family) {
            self.problems.push(format!("{family} has no HELP before it"));
        }
        self.enter(&family);
        self.problems.dedup();
    }

    fn series(&mut self, samples: &[Sample]) {
        let mut seen = BTreeSet::new();
        for sample in samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                self.problems.push(format!("{} {:?} comes twice", sample.name, sample.labels));
            }
        }
    }

    /// Buckets never fall, and the last one is the count.
    fn histograms(&mut self, samples: &[Sample]) {
        let mut rows: BTreeMap<(String, BTreeMap<String, String>), Vec<f64>> = BTreeMap::new();
        for sample in samples {
            if let Some(base) = sample.name.strip_suffix("_bucket") {
                let mut labels = sample.labels.clone();
                labels.remove("le");
                rows.entry((base.to_owned(), labels)).or_default().push(sample.value);
            }
        }
        for ((base, labels), buckets) in rows {
            if !buckets.is_sorted() {
                self.problems.push(format!("the buckets of {base} {labels:?} fall: {buckets:?}"));
            }
            let count = samples.iter().find(|s| s.name == format!("{base}_count") && s.labels == labels);
            if count.map(|sample| sample.value) != buckets.last().copied() {
                self.problems.push(format!("the last bucket of {base} {labels:?} is not its count"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"u\"} 3\na_total{x=\"2\",y=\"\"} 4\n\
                        # HELP h Time.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";

    #[test]
    fn a_sample_is_found_by_its_name_and_some_of_its_labels() {
        let metrics = Metrics::parse(GOOD);
        assert_eq!(metrics.get("a_total", &[("x", "1")]), Some(3.0));
        assert_eq!(metrics.get("a_total", &[("y", "q\"u")]), Some(3.0));
        assert_eq!(metrics.get("a_total", &[("x", "3")]), None);
        assert!((metrics.sum("a_total", &[]) - 7.0).abs() < f64::EPSILON);
        assert_eq!(metrics.problems(), Vec::<String>::new());
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (text, problem) in [
            ("a 1\n", "no TYPE"),
            ("# HELP a x\n# TYPE a counter\na 1\n", "_total"),
            ("# HELP a x\n# TYPE a gauge\na 1\na 1\n", "comes twice"),
            ("# TYPE a gauge\na 1\n", "no HELP"),
            ("# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{x=\"1\"} 1\n", "two places"),
            ("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n", "fall"),
        ] {
            let problems = Metrics::parse(text).problems();
            assert!(problems.iter().any(|p| p.contains(problem)), "{problem}: {problems:?}");
        }
    }
}
