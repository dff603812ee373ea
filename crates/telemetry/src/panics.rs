//! A panic is counted and told in one line, wherever it happens; whoever catches it decides what ends.

use std::{
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

// A static and not a metric: a panic may happen anywhere, even while the registry of metrics is being changed.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics there have been since [`install_hook`].
#[must_use]
pub fn count() -> u64 {
    PANICS.load(Relaxed)
}

/// From now on, panics are counted and logged, instead of being printed by the standard library. For the binary only: the
/// hook belongs to the whole process.
pub fn install_hook() {
    panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Relaxed);
        log(info);
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    // A line break in the message becomes an escape, so that one panic is one line also in text.
    let message = message.escape_debug();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or("?");
    if tracing::dispatcher::has_been_set() {
        tracing::error!(location, thread, panic = %message, "a bug of ours: panicked");
    } else {
        eprintln!("a bug of ours: panicked at {location} in thread {thread}: {message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        logging::{Logging, tests::Paper},
        names,
        process::Process,
    };
    use evenkeel_model as model;

    #[test]
    fn a_panic_is_counted_and_told_in_one_line_and_life_goes_on() {
        let (paper, before) = (Paper::default(), count());
        let writer = paper.clone();
        let (subscriber, _logging) = Logging::build(model::Log::default(), move || writer.clone(), false);
        let usual = panic::take_hook();
        install_hook();

        tracing::subscriber::with_default(subscriber, || {
            assert!(panic::catch_unwind(|| panic!("first line\nsecond line")).is_err());
        });

        panic::set_hook(usual);
        let line = paper.take();
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in ["ERROR", "panics.rs:", "first line\\nsecond line"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        let page = crate::check::text_format(&Process::new("", "").render()).unwrap();
        assert!(page.sum(names::PANICS.name, &[]) > before as f64);
    }
}
