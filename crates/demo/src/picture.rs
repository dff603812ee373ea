//! Draws a [`Scene`]: a pure function from what was counted to text, 80 columns wide.

use crate::ledger::{Flow, Moment, REMEMBERED, Row, Scene, State, Trouble};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Columns of a bar.
const BAR: usize = 16;
/// Columns of a name: those of the fleet, or the longest IPv4 address with its port.
const NAME: std::ops::RangeInclusive<usize> = 8..=21;
/// A block grows in eighths of a column (Unicode, Block Elements).
const GROWING: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const RISING: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Where everything is: what the title and the hints need.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) target: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: PathBuf,
    /// The endpoint that the hint proposes to kill, if there is one.
    pub(crate) victim: Option<(&'static str, SocketAddr)>,
}

/// Whether colours are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Coloured,
    Plain,
}

/// The colours that we use, by meaning (ECMA-48, section 8.3.117).
#[derive(Clone, Copy, Debug)]
enum Tone {
    Strong,
    Faint,
    Good,
    Bad,
    Resting,
}

impl Ink {
    fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Strong => 1,
            Tone::Faint => 2,
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Resting => 33,
        };
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

impl State {
    fn tone(self) -> Tone {
        match self {
            Self::Healthy => Tone::Good,
            Self::Unhealthy => Tone::Bad,
            Self::Draining => Tone::Resting,
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Healthy => '●',
            Self::Unhealthy => '○',
            Self::Draining => '◐',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

/// The whole picture, for a terminal.
pub(crate) fn draw(scene: &Scene, places: &Places, ink: Ink) -> String {
    let mut lines = vec![String::new(), title(scene, places, ink), String::new()];
    if !scene.rows.is_empty() {
        lines.extend(table(&scene.rows, ink));
        lines.push(String::new());
    }
    lines.extend(scene.proxy.map(proxy));
    lines.push(load(scene, ink));
    lines.extend(remark(scene, places).iter().map(|(tone, text)| format!("  {}", ink.paint(*tone, text))));
    lines.push(String::new());
    lines.extend(hints(places).into_iter().map(|(command, effect)| hint(&command, &effect, ink)));
    lines.push(String::new());
    lines.join("\n") + "\n"
}

/// The same in one line, for a log.
pub(crate) fn line(scene: &Scene) -> String {
    let mut line = format!(
        "{:>4} s  {:>4}/s  {} failed  p50 {}  p99 {}  |",
        scene.at.as_secs_f64().round(),
        scene.load.per_second.round(),
        scene.failures,
        time(scene.p50),
        time(scene.p99)
    );
    for Row { name, state, per_second, .. } in &scene.rows {
        line += &format!("  {name} {} {}/s", state.word(), per_second.round());
    }
    match &scene.trouble {
        Some(Trouble::NoCounts(why)) => line += &format!("  no metrics: {why}"),
        Some(Trouble::BadFile) => line += "  the file has a mistake, the one before runs on",
        None => {}
    }
    line + "\n"
}

/// What is where and what to try, once, before the lines.
pub(crate) fn preface(places: &Places) -> String {
    let mut text = format!("evenkeel demo: three endpoints behind http://{}\n", places.target);
    for (command, effect) in hints(places) {
        text += &format!("  {command}  # {effect}\n");
    }
    text
}

fn title(scene: &Scene, places: &Places, ink: Ink) -> String {
    let name = "evenkeel demo";
    let about = match scene.rows.len() {
        0 => format!("http://{}", places.target),
        1 => format!("http://{} over 1 endpoint", places.target),
        n => format!("http://{} over {n} endpoints", places.target),
    };
    let clock = format!("{} s", grouped(scene.at.as_secs_f64()));
    let gap = 74_usize.saturating_sub(name.len() + about.len() + clock.len());
    format!("  {}   {about}{:gap$} {}", ink.paint(Tone::Strong, name), "", ink.paint(Tone::Faint, &clock))
}

fn table(rows: &[Row], ink: Ink) -> Vec<String> {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let name = longest.clamp(*NAME.start(), *NAME.end());
    let most = rows.iter().flat_map(|row| &row.past).map(|moment| moment.per_second).fold(1.0, f64::max);
    let head = format!(
        "{:name$} {:11} {:BAR$} {:>5} {:>5} {:>5}  {}",
        "",
        "",
        "requests",
        "a sec",
        "share",
        "busy",
        format_args!("last {REMEMBERED} s")
    );
    let mut lines = vec![format!("  {}", ink.paint(Tone::Faint, &head))];
    lines.extend(rows.iter().map(|row| table_row(row, name, most, ink)));
    lines
}

fn table_row(row: &Row, width: usize, most: f64, ink: Ink) -> String {
    let name: String = row.name.chars().take(width).collect();
    let state = format!("{} {:<9}", row.state.sign(), row.state.word());
    let bar = bar(row.per_second / most);
    let strip: String = row.past.iter().map(|moment| ink.paint(moment.state.tone(), &height(*moment, most))).collect();
    format!(
        "  {name:<width$} {} {} {:>5} {:>3} % {:>5}  {strip}",
        ink.paint(row.state.tone(), &state),
        ink.paint(row.state.tone(), &format!("{bar:<BAR$}")),
        grouped(row.per_second),
        (row.share * 100.0).round(),
        grouped(row.in_flight),
    )
}

/// A bar of at most [`BAR`] columns; `part` is from 0 to 1. What is not nothing is seen.
fn bar(part: f64) -> String {
    let eighths = eighths(part, BAR * 8);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(GROWING[eighths % 8 - 1]);
    }
    bar
}

/// One second as one letter: a column that rises, or a dot for nothing.
fn height(moment: Moment, most: f64) -> String {
    match eighths(moment.per_second / most, 8) {
        0 => "·".to_owned(),
        n => RISING[n - 1].to_string(),
    }
}

/// `part` of `whole`, rounded, but 0 for nothing only.
fn eighths(part: f64, whole: usize) -> usize {
    let nearest = (0..=whole).min_by(|a, b| distance(*a, part, whole).total_cmp(&distance(*b, part, whole)));
    let nearest = nearest.unwrap_or(0);
    if part > 0.0 { nearest.max(1) } else { nearest }
}

fn distance(step: usize, part: f64, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most the columns of a terminal")]
    let exact = part * whole as f64 - step as f64;
    exact.abs()
}

fn proxy(flow: Flow) -> String {
    format!("  proxy   {} requests answered, {} a second", grouped(flow.total), grouped(flow.per_second))
}

fn load(scene: &Scene, ink: Ink) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a demo does not send 2^52 requests")]
    let failed = format!("{} failed", grouped(scene.failures as f64));
    let failed = ink.paint(if scene.failures == 0 { Tone::Good } else { Tone::Bad }, &failed);
    let (requests, rate) = (grouped(scene.load.total), grouped(scene.load.per_second));
    format!(
        "  load    {requests} requests, {failed}, {rate} a second: p50 {}, p99 {}",
        time(scene.p50),
        time(scene.p99)
    )
}

/// What a person should know first, and how to learn more.
fn remark(scene: &Scene, places: &Places) -> Vec<(Tone, String)> {
    match (&scene.trouble, &scene.last_failure) {
        (Some(Trouble::BadFile), _) => vec![
            (Tone::Bad, "the file has a mistake, so what ran before runs on; this says where:".to_owned()),
            (Tone::Strong, format!("evenkeel check --config {}", places.config.display())),
        ],
        (Some(Trouble::NoCounts(why)), _) => {
            vec![(Tone::Bad, format!("no metrics from http://{}: {why}", places.admin))]
        }
        (None, Some(failure)) => vec![(Tone::Faint, format!("last failure: {failure}"))],
        (None, None) => Vec::new(),
    }
}

/// Commands to try, and what they do.
fn hints(places: &Places) -> Vec<(String, String)> {
    let Places { target, admin, config, victim } = places;
    let mut hints = vec![(format!("curl http://{target}/"), "who answers?".to_owned())];
    if let Some((name, address)) = victim {
        hints.push((format!("curl -X POST http://{address}/kill"), format!("{name} dies for 10 s")));
    }
    hints.push((format!("$EDITOR {}", config.display()), "change anything: it is live".to_owned()));
    hints.push((format!("curl http://{admin}/metrics"), "all this picture knows".to_owned()));
    hints
}

fn hint(command: &str, effect: &str, ink: Ink) -> String {
    format!("  {command:<46} {}", ink.paint(Tone::Faint, effect))
}

/// `3.1 ms`, `38 ms`, `1.2 s`; `-` for none.
pub(crate) fn time(duration: Option<Duration>) -> String {
    let Some(duration) = duration else { return "-".to_owned() };
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1e3)
    }
}

/// `2 412`: a rounded number in groups of three.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.round());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
