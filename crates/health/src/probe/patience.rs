//! A timeout that counts the endpoint's time and not ours.

use evenkeel_model::Duration;
use std::{future::Future, pin::pin};
use tokio::time::{Instant, timeout};

/// The parts a timeout is waited in. Being kept from running for longer than a part costs the endpoint nothing; a shorter
/// delay costs it at most one part.
const PARTS: u32 = 8;

/// Parts that are waited at most. A thread that is always late must come to an end too.
const PARTS_MAX: u32 = 2 * PARTS;

/// Awaits `work`, at most `limit`. Time in which this thread did not get to run is not counted: an answer may have waited all
/// along, and an endpoint is not unhealthy because we were busy. `None`: the time is over.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let part = limit / PARTS;
    let mut left = PARTS;
    for _ in 0..PARTS_MAX {
        let begun = Instant::now();
        if let Ok(done) = timeout(part, work.as_mut()).await {
            return Some(done);
        }
        // Woken this late we were asleep, and `work` has had no turn to go on with what arrived meanwhile.
        let overslept = begun.elapsed() >= part.saturating_mul(2);
        left -= u32::from(!overslept);
        if left == 0 {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::{advance, sleep};

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn an_answer_just_in_time_counts_and_one_too_late_does_not() {
        assert_eq!(within(LIMIT, sleep(Duration::from_millis(1990))).await, Some(()));
        assert_eq!(within(LIMIT, sleep(Duration::from_millis(2100))).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_time_is_over() {
        let begun = Instant::now();
        assert_eq!(within(LIMIT, pending::<()>()).await, None);
        let waited = begun.elapsed();
        assert!(LIMIT <= waited && waited < LIMIT + Duration::from_millis(50), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_we_did_not_run_is_not_the_endpoints() {
        let answer = async {
            sleep(Duration::from_millis(100)).await;
            // The thread is kept busy elsewhere for longer than the whole timeout, and then the answer needs a little more.
            advance(Duration::from_secs(10)).await;
            sleep(Duration::from_millis(1500)).await;
        };
        assert_eq!(within(LIMIT, answer).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_always_late_comes_to_an_end_too() {
        let late = async {
            loop {
                advance(Duration::from_secs(10)).await;
            }
        };
        assert_eq!(within::<()>(LIMIT, late).await, None);
    }
}
