//! What we say ourselves, on standard error: text for a person, JSON when asked, changed while we run.
//!
//! The binary calls [`Logging::init`] once; every crate speaks through `tracing` and knows nothing of this. Our own
//! events appear from the configured level up; those of other crates from a warning up, and all of them at `trace`.

use evenkeel_model as model;
use std::io::{self, IsTerminal};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

/// Changes how much is said, and how, while we run.
#[derive(Clone, Debug)]
pub struct Logging {
    text: reload::Handle<Targets, Registry>,
    json: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// Installs logging for the whole process. Colour only on a terminal, and not if `NO_COLOR` is set (no-color.org).
    ///
    /// # Errors
    /// When the process has logging already.
    pub fn init(log: model::Log) -> Result<Self, TryInitError> {
        let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (subscriber, logging) = Self::build(log, io::stderr, io::stderr().is_terminal() && !quiet);
        subscriber.try_init()?;
        Ok(logging)
    }

    /// Says so much from now on, and in this form.
    pub fn set(&self, log: model::Log) {
        let (text, json) = filters(log);
        // Reloading fails only when the subscriber is gone, and then nobody logs.
        let _ = self.text.reload(text);
        let _ = self.json.reload(json);
    }

    /// Both forms stand side by side and one of them is filtered out. Exchanging the form of a single layer would meet
    /// spans that were begun in the other form, on which the JSON form panics.
    pub(crate) fn build<W>(log: model::Log, writer: W, colour: bool) -> (impl Subscriber + Send + Sync, Self)
    where
        W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
    {
        let (text, json) = filters(log);
        let (text, text_handle) = reload::Layer::new(text);
        let (json, json_handle) = reload::Layer::new(json);
        let text = fmt::layer().with_ansi(colour).with_writer(writer.clone()).with_filter(text);
        let json = fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(json);
        let subscriber = Registry::default().with(vec![text.boxed(), json.boxed()]);
        (subscriber, Self { text: text_handle, json: json_handle })
    }
}

/// The filter of the text form and that of the JSON form.
fn filters(log: model::Log) -> (Targets, Targets) {
    let (ours, others) = match log.level {
        model::LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        model::LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        model::LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        model::LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        model::LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // h2 warns of each attack, as often as there is one: a client must not write our log.
    let attacked = if others == LevelFilter::TRACE { others } else { LevelFilter::ERROR };
    let on = Targets::new().with_target("evenkeel", ours).with_target("h2", attacked).with_default(others);
    let off = Targets::new().with_default(LevelFilter::OFF);
    match log.format {
        model::LogFormat::Text => (on, off),
        model::LogFormat::Json => (off, on),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::{Log, LogFormat, LogLevel};
    use std::sync::{Arc, Mutex};

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        pub(crate) fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    /// Runs `story` with logging on paper.
    fn on_paper(log: Log, story: impl FnOnce(&Logging, &Paper)) {
        let paper = Paper::default();
        let writer = paper.clone();
        let (subscriber, logging) = Logging::build(log, move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, || story(&logging, &paper));
    }

    #[test]
    fn text_is_one_line_without_colour_off_a_terminal() {
        on_paper(Log::default(), |_, paper| {
            tracing::info!(target: "evenkeel_server", workers = 4, "ready");

            let text = paper.take();
            assert!(text.contains(" INFO ") && text.contains("ready") && text.contains("workers=4"), "{text}");
            assert!(!text.contains('\x1b'));
            assert_eq!(text.lines().count(), 1);
        });
    }

    #[test]
    fn a_level_hides_what_is_below_it_and_the_talk_of_other_crates() {
        on_paper(Log { level: LogLevel::Debug, ..Log::default() }, |logging, paper| {
            tracing::trace!(target: "evenkeel_proxy", "hidden");
            tracing::debug!(target: "hyper", "hidden");
            assert_eq!(paper.take(), "");

            tracing::debug!(target: "evenkeel_proxy::worker", "shown");
            tracing::warn!(target: "hyper", "shown");
            assert_eq!(paper.take().lines().count(), 2);

            logging.set(Log { level: LogLevel::Error, ..Log::default() });
            tracing::warn!(target: "evenkeel_proxy", "hidden");
            assert_eq!(paper.take(), "");

            logging.set(Log { level: LogLevel::Trace, ..Log::default() });
            tracing::trace!(target: "hyper", "shown");
            assert_eq!(paper.take().lines().count(), 1);
        });
    }

    #[test]
    fn the_form_changes_while_we_run_even_within_a_span() {
        on_paper(Log::default(), |logging, paper| {
            let span = tracing::info_span!(target: "evenkeel", "outer", upstream = "site");
            let _inside = span.enter();
            tracing::info!(target: "evenkeel", "text");
            assert!(paper.take().contains("upstream=\"site\""));

            logging.set(Log { format: LogFormat::Json, ..Log::default() });
            let inner = tracing::info_span!(target: "evenkeel", "inner");
            inner.in_scope(|| tracing::info!(target: "evenkeel", path = "/a\"\n", "json"));
            let line = paper.take();
            let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
            assert_eq!(
                (&value["message"], &value["path"], &value["level"]),
                (&"json".into(), &"/a\"\n".into(), &"INFO".into())
            );

            logging.set(Log::default());
            inner.in_scope(|| tracing::info!(target: "evenkeel", "text again"));
            assert!(paper.take().contains("text again"));
        });
    }
}
