//! A strict reader of the Prometheus text format 0.0.4, for tests: what it accepts, every scraper accepts.
//!
//! Stricter than a scraper: each family has one HELP and one TYPE line before its samples and its samples in one place;
//! no series twice; counters, and only they, end in `_total` and are finite and not negative; a histogram's buckets rise
//! and its `+Inf` bucket is its count. Never used by the running proxy.

use std::collections::{BTreeMap, HashSet};

/// What a page says, once it has been found right.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The families in order of their appearance: name and type.
    pub families: Vec<(String, String)>,
    /// All samples in order; those of histograms with their suffix.
    pub samples: Vec<Sample>,
}

/// One line that is not a comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with its suffix.
    pub name: String,
    /// The labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// Reads a page.
///
/// # Errors
/// The first line that is wrong, and why.
pub fn text_format(text: &str) -> Result<Scrape, String> {
    let mut reader = Reader::default();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let body = line.strip_suffix('\n').ok_or_else(|| "the last line has no end".to_owned());
        body.and_then(|body| reader.line(body)).map_err(|why| format!("line {}: {why}: {line:?}", index + 1))?;
    }
    reader.end_family()?;
    Ok(reader.scrape)
}

impl Scrape {
    /// The sum of all samples of this name that have these labels, and perhaps others.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The first sample of this name that has these labels, and perhaps others.
    #[must_use]
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        self.matching(name, labels).next()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let has = |sample: &Sample| labels.iter().all(|(l, v)| sample.labels.get(*l).is_some_and(|text| text == v));
        self.samples.iter().filter(move |sample| sample.name == name && has(sample))
    }
}

#[derive(Default)]
struct Reader {
    scrape: Scrape,
    seen: HashSet<String>,
    help: Option<String>,
    /// Where the samples of the current family begin.
    begin: usize,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.contains('\r') {
            return Err("a carriage return".into());
        }
        if line.is_empty() {
            return Ok(());
        }
        let Some(comment) = line.strip_prefix('#') else { return self.sample(line) };
        let mut words = comment.strip_prefix(' ').unwrap_or_default().splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(help)) => self.help(name, help),
            (Some("TYPE"), Some(name), Some(kind)) => self.kind(name, kind),
            _ => Err("a comment that is neither HELP nor TYPE".into()),
        }
    }

    fn help(&mut self, name: &str, help: &str) -> Result<(), String> {
        self.end_family()?;
        if help.trim().is_empty() || unescape(help, false).is_none() {
            return Err("no help, or a wrong escape in it".into());
        }
        self.help = Some(name.to_owned());
        Ok(())
    }

    fn kind(&mut self, name: &str, kind: &str) -> Result<(), String> {
        if self.help.take().as_deref() != Some(name) {
            return Err("TYPE without the HELP of the same family right before it".into());
        }
        if !is_name(name, ':') {
            return Err("not a metric name".into());
        }
        if !["counter", "gauge", "histogram"].contains(&kind) {
            return Err("an unknown type".into());
        }
        if name.ends_with("_total") != (kind == "counter") {
            return Err("counters, and only counters, end in _total".into());
        }
        if ["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)) {
            return Err("a family named as a part of a histogram".into());
        }
        if self.scrape.families.iter().any(|(other, _)| other == name) {
            return Err("a family twice".into());
        }
        self.begin = self.scrape.samples.len();
        self.scrape.families.push((name.to_owned(), kind.to_owned()));
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        if self.help.is_some() {
            return Err("a sample between HELP and TYPE".into());
        }
        let (family, kind) = self.scrape.families.last().ok_or("a sample before any family")?;
        let sample = parse_sample(line)?;
        let suffix = sample.name.strip_prefix(family.as_str()).ok_or("a sample of another family")?;
        match (kind.as_str(), suffix) {
            ("counter" | "gauge", "") | ("histogram", "_bucket" | "_sum" | "_count") => {}
            _ => return Err("a sample that its family's type does not have".into()),
        }
        if (suffix == "_bucket") != sample.labels.contains_key("le") {
            return Err("le belongs to buckets, and to buckets only".into());
        }
        let counts = kind == "counter" || suffix == "_bucket" || suffix == "_count";
        if counts && !(sample.value.is_finite() && sample.value >= 0.0) {
            return Err("a count that is negative or infinite".into());
        }
        if !self.seen.insert(format!("{}{:?}", sample.name, sample.labels)) {
            return Err("a series twice".into());
        }
        self.scrape.samples.push(sample);
        Ok(())
    }

    fn end_family(&mut self) -> Result<(), String> {
        if self.help.is_some() {
            return Err("HELP without TYPE".into());
        }
        match self.scrape.families.last() {
            Some((family, kind)) if kind == "histogram" => check_histograms(family, &self.scrape.samples[self.begin..]),
            _ => Ok(()),
        }
    }
}

/// All series of one histogram family: each has rising bounds, rising counts, `+Inf`, a sum, and a count equal to `+Inf`.
fn check_histograms(family: &str, samples: &[Sample]) -> Result<(), String> {
    let mut series: BTreeMap<Vec<(&str, &str)>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let labels = sample.labels.iter().filter(|(label, _)| *label != "le");
        series.entry(labels.map(|(l, v)| (l.as_str(), v.as_str())).collect()).or_default().push(sample);
    }
    for (labels, samples) in series {
        let wrong = |why: &str| format!("histogram {family}{labels:?}: {why}");
        let buckets = samples.iter().filter_map(|sample| Some((number(sample.labels.get("le")?)?, sample.value)));
        let buckets: Vec<(f64, f64)> = buckets.collect();
        let of = |suffix: &str| samples.iter().find(|s| s.name.strip_prefix(family) == Some(suffix)).map(|s| s.value);
        if !buckets.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(wrong("bounds do not rise"));
        }
        if !buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1) {
            return Err(wrong("buckets are not cumulative"));
        }
        if buckets.last().is_none_or(|(bound, n)| bound.is_finite() || Some(*n) != of("_count")) {
            return Err(wrong("+Inf is missing or is not the count"));
        }
        if of("_sum").is_none() || buckets.len() + 2 != samples.len() {
            return Err(wrong("the sum is missing or a bound is no number"));
        }
    }
    Ok(())
}

fn parse_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, ':') {
        return Err("not a metric name".into());
    }
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while let Some((label, after)) = inside.split_once("=\"") {
            if !is_name(label, '_') || label.starts_with("__") {
                return Err(format!("not a label name: {label:?}"));
            }
            let close = closing_quote(after).ok_or("a label without a closing quote")?;
            let value = unescape(&after[..close], true).ok_or("a wrong escape")?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label twice".into());
            }
            inside = &after[close + 1..];
            match inside.strip_prefix(',') {
                Some(more) if more.contains("=\"") => inside = more,
                Some(_) => return Err("a comma without a label".into()),
                None => break,
            }
        }
        rest = inside.strip_prefix('}').ok_or("labels are not closed")?;
    }
    let value = rest.strip_prefix(' ').and_then(number).ok_or("not a number, or not one blank before it")?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

fn is_name(text: &str, extra: char) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == extra;
    text.chars().all(good) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

/// Go's and the format's spelling of a number, which is that of Rust but for `inf` and `nan`.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => text.parse().ok(),
        _ => None,
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

fn unescape(text: &str, quotes: bool) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quotes => '"',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n}, \",y=\"\"} 1\na_total 2.5e3\n\n\
        # HELP h H\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.3\nh_count 2\n";

    #[test]
    fn a_right_page_is_read() {
        let scrape = text_format(GOOD).unwrap();

        assert_eq!(scrape.families, [("a_total".into(), "counter".into()), ("h".into(), "histogram".into())]);
        assert_eq!(scrape.samples[0].labels["x"], "1\"\\\n}, ");
        assert_eq!(scrape.sum("a_total", &[]), 2501.0);
        assert_eq!(scrape.find("a_total", &[("y", "")]).map(|sample| sample.value), Some(1.0));
    }

    #[test]
    fn a_wrong_page_is_refused_with_its_line() {
        let family = "# HELP a_total A.\n# TYPE a_total counter\n";
        let histogram = "# HELP h H\n# TYPE h histogram\n";
        for (page, why) in [
            ("a 1\n".to_owned(), "before any family"),
            ("# TYPE a_total counter\n".to_owned(), "without the HELP"),
            ("# HELP a_total A.\n".to_owned(), "HELP without TYPE"),
            ("# HELP a_total \n# TYPE a_total counter\n".to_owned(), "no help"),
            ("# HELP a A\n# TYPE a counter\n".to_owned(), "end in _total"),
            ("# hello\n".to_owned(), "neither HELP nor TYPE"),
            (format!("{family}{family}"), "a family twice"),
            (format!("{family}b_total 1\n"), "another family"),
            (format!("{family}a_total 1\na_total 2\n"), "a series twice"),
            (format!("{family}a_total{{x=\"1\",y=\"2\"}} 1\na_total{{y=\"2\",x=\"1\"}} 1\n"), "a series twice"),
            (format!("{family}a_total -1\n"), "negative"),
            (format!("{family}a_total 1"), "has no end"),
            (format!("{family}a_total  1\n"), "not a number"),
            (format!("{family}a_total 1 1700000000\n"), "not a number"),
            (format!("{family}a_total inf\n"), "not a number"),
            (format!("{family}a_total{{x=\"\\q\"}} 1\n"), "wrong escape"),
            (format!("{family}a_total{{x=\"1\",}} 1\n"), "a comma without a label"),
            (format!("{family}a_total{{x=\"1\" 1\n"), "not closed"),
            (format!("{family}a_total{{x=\"1\",x=\"1\"}} 1\n"), "a label twice"),
            (format!("{family}a_total{{__x=\"1\"}} 1\n"), "not a label name"),
            (format!("{family}a_total{{le=\"1\"}} 1\n"), "le belongs"),
            (format!("{histogram}h 1\n"), "type does not have"),
            (format!("{histogram}h_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 3\n"), "not the count"),
            (format!("{histogram}h_bucket{{le=\"1\"}} 2\nh_sum 1\nh_count 2\n"), "+Inf is missing"),
            (format!("{histogram}h_bucket{{le=\"+Inf\"}} 2\nh_count 2\n"), "sum is missing"),
            (
                format!("{histogram}h_bucket{{le=\"1\"}} 3\nh_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 2\n"),
                "not cumulative",
            ),
            (
                format!("{histogram}h_bucket{{le=\"+Inf\"}} 2\nh_bucket{{le=\"1\"}} 2\nh_sum 1\nh_count 2\n"),
                "do not rise",
            ),
        ] {
            let error = text_format(&page).expect_err(&page);
            assert!(error.contains(why), "{page}\nsays: {error}\ninstead of: {why}");
        }
    }
}
