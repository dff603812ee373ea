//! How long a request that no endpoint has looked at is sent again, and how fast.
//!
//! RFC 9113, section 8.7, allows to send it again, whatever it is, and says nothing of how often. A server that ends its connections
//! after ten requests leaves out most of a hundred that come together, and each of them more than once; so what counts is time, and
//! not how often. It is the time of a connection: an endpoint that takes no stream is one that cannot be connected to.

use std::time::{Duration, Instant};

/// Between two rounds over all endpoints, while they answer others: the work is bounded by those answers.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The same while they give no answer at all: it doubles up to this.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What a request knows of having been left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// In this round.
    now: bool,
    /// When its time is over; counted from the first time.
    until: Option<Instant>,
    pause: Duration,
    /// Answers that the last endpoint had given, to whatever request.
    answers: u64,
}

impl LeftOut {
    /// An endpoint that has given so many answers to others has not looked at the request, which has so much time from now on, if this is the
    /// first time.
    pub(super) fn again(&mut self, answers: u64, limit: Duration) {
        self.now = true;
        self.until.get_or_insert_with(|| Instant::now() + limit);
        let moves = std::mem::replace(&mut self.answers, answers) != answers;
        self.pause = if moves { PAUSE_MIN } else { (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX) };
    }

    /// Whether an endpoint of this round may look at it in the next one.
    pub(super) fn is_now(&self) -> bool {
        self.now
    }

    /// All endpoints were tried. Waits for the next round, if there is to be one.
    pub(super) async fn next_round(&mut self) -> bool {
        let was = std::mem::take(&mut self.now);
        let Some(until) = self.until.filter(|_| was) else { return false };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.pause.min(left)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_was_looked_at_has_no_next_round() {
        let mut left_out = LeftOut::default();
        assert!(!left_out.next_round().await);
        left_out.again(0, Duration::from_secs(60));
        assert!(left_out.next_round().await);
        assert!(!left_out.next_round().await);
    }

    #[tokio::test]
    async fn pauses_grow_while_there_are_no_answers_and_the_time_counts_from_the_first() {
        let mut left_out = LeftOut::default();
        let pauses = [7, 8, 8, 8, 8, 9].map(|answers| {
            left_out.again(answers, Duration::ZERO);
            left_out.pause.as_millis()
        });
        assert_eq!(pauses, [1, 1, 2, 4, 8, 1]);
        (0..100).for_each(|_| left_out.again(9, Duration::from_secs(60)));
        assert_eq!(left_out.pause, PAUSE_MAX);
        assert!(!left_out.next_round().await, "its time was over at once");
    }
}
