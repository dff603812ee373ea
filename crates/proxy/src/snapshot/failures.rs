//! What an endpoint did wrong, in the log: for each cause one line a second at most, over all workers.
//!
//! Lines are written by `request/exchange` and `connection/session` as things happen; the sweep of each worker tells of what was left out
//! since. Memory is a few words for each endpoint and cause. No line has anything that a client has sent.

use crate::worker::Seldom;
use evenkeel_telemetry::Reason;
use std::{
    fmt::{self, Display, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// What an endpoint can be blamed for.
const CAUSES: [Reason; 9] = [
    Reason::ConnectFailed,
    Reason::ConnectTimeout,
    Reason::UpstreamTls,
    Reason::UpstreamTimeout,
    Reason::UpstreamStalled,
    Reason::TotalTimeout,
    Reason::UpstreamTooSlow,
    Reason::UpstreamReset,
    Reason::UpstreamProtocol,
];

/// Milliseconds from one line of a cause to the next.
const EVERY: u64 = 1000;

/// What is told of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    causes: [Cause; CAUSES.len()],
    /// Something was left out; spares the sweep a walk.
    left_out: AtomicBool,
}

/// What is told of one cause.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    seldom: Seldom<EVERY>,
    /// The number of the last request; 0 for a connection that is passed on as it is.
    last: AtomicU64,
}

/// Whose failure it is.
#[derive(Clone, Copy)]
pub(crate) struct Blamed<'a> {
    pub(crate) upstream: &'a str,
    /// Empty: none could be asked.
    pub(crate) endpoint: &'a str,
}

impl Failures {
    /// Tells of a failure, or counts it. `now` in milliseconds of the workers' clock.
    pub(crate) fn tell(&self, blamed: Blamed<'_>, reason: Reason, request: u64, what: &dyn Display, now: u64) {
        let Some(at) = CAUSES.iter().position(|cause| *cause == reason) else { return };
        if !self.causes[at].tell(blamed, reason, request, what, now) {
            self.left_out.store(true, Relaxed);
        }
    }

    /// Tells of what was left out for a second.
    pub(crate) fn tell_of_left_out(&self, blamed: Blamed<'_>, now: u64) {
        if !self.left_out.swap(false, Relaxed) {
            return;
        }
        for (reason, cause) in CAUSES.into_iter().zip(&self.causes) {
            if !cause.tell_of_left_out(blamed, reason, now) {
                self.left_out.store(true, Relaxed);
            }
        }
    }
}

impl Cause {
    /// Whether it was told; otherwise it was counted.
    pub(crate) fn tell(&self, blamed: Blamed<'_>, reason: Reason, request: u64, what: &dyn Display, now: u64) -> bool {
        self.last.store(request, Relaxed);
        let told = self.seldom.tell(now);
        if let Some(left_out) = told {
            write(blamed, reason, request, left_out, what);
        }
        told.is_some()
    }

    /// Whether nothing is left to be told.
    pub(crate) fn tell_of_left_out(&self, blamed: Blamed<'_>, reason: Reason, now: u64) -> bool {
        if let Some(left_out) = self.seldom.tell_of_kept_back(now) {
            write(
                blamed,
                reason,
                self.last.load(Relaxed),
                left_out,
                &"failed again; this is the last of those left out",
            );
        }
        !self.seldom.has_kept_back()
    }
}

fn write(blamed: Blamed<'_>, reason: Reason, request: u64, left_out: u64, what: &dyn Display) {
    let Blamed { upstream, endpoint } = blamed;
    let (reason, request, what) = (reason.as_str(), Number(request), Escaped(what));
    tracing::warn!(upstream, endpoint, reason, %request, left_out, "{what}");
}

/// As answers of our own and the access log show it.
struct Number(u64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("-") } else { write!(f, "{:016x}", self.0) }
    }
}

/// Without control characters: a cause may quote what an endpoint has sent, such as a name in its certificate.
struct Escaped<'a>(&'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Escaping<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|c| match c.is_control() {
                    true => write!(self.0, "{}", c.escape_default()),
                    false => self.0.write_char(c),
                })
            }
        }
        write!(Escaping(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_telemetry::Fault;

    #[test]
    fn every_reason_that_is_the_fault_of_an_endpoint_is_a_cause() {
        let blamed = Reason::ALL.into_iter().filter(|reason| reason.fault() == Fault::Upstream);
        // Where no endpoint may be asked, none has failed: that is told of the upstream.
        assert!(blamed.filter(|reason| *reason != Reason::NoEndpoint).eq(CAUSES));
    }

    #[test]
    fn nothing_that_an_endpoint_sends_begins_a_line_of_its_own() {
        assert_eq!(Escaped(&"a\r\nb\u{1b}[31m \u{e9}").to_string(), "a\\r\\nb\\u{1b}[31m \u{e9}");
        assert_eq!([Number(0), Number(255)].map(|n| n.to_string()), ["-", "00000000000000ff"]);
    }
}
