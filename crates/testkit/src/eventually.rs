//! Waiting for a condition, with a bound and a sentence.
//!
//! Used by everything in this crate and by tests instead of sleeping. Looks again every few milliseconds: on a runtime
//! with one thread the pause is what lets the servers of the test run.

use std::{future::Future, time::Duration};

/// How long anything may take before the test fails. Far above what it needs, so that only a fault gets here.
pub const BOUND: Duration = Duration::from_secs(10);

/// Between two looks: short against a test, long against a poll.
const BETWEEN_LOOKS: Duration = Duration::from_millis(3);

/// Waits until `condition` holds, at most [`BOUND`].
///
/// # Panics
/// When it does not come to hold; the message names `what`.
pub async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(BOUND, what, condition).await;
}

/// Waits until `condition` holds, at most `bound`.
///
/// # Panics
/// When it does not come to hold; the message names `what`.
pub async fn eventually_within(bound: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    until_within(bound, what, async || condition().then_some(())).await;
}

/// Asks again and again until there is an answer, at most [`BOUND`].
///
/// # Panics
/// When there is none; the message names `what`.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(BOUND, what, look).await
}

/// Asks again and again until there is an answer, at most `bound`.
///
/// # Panics
/// When there is none; the message names `what`.
pub async fn until_within<T>(bound: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    match tokio::time::timeout(bound, asking).await {
        Ok(found) => found,
        Err(_) => panic!("waited {bound:?} in vain: {what}"),
    }
}

/// Awaits `work`, at most [`BOUND`].
///
/// # Panics
/// When it takes longer; the message names `what`.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {BOUND:?} in vain: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut looks = 0;
        eventually("the third look", || {
            looks += 1;
            looks == 3
        })
        .await;
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "in vain: pigs fly")]
    async fn a_condition_that_never_holds_is_a_panic_that_names_it() {
        eventually_within(Duration::from_millis(20), "pigs fly", || false).await;
    }
}
