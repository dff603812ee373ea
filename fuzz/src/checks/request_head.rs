//! Any bytes of a client: what reaches the endpoint is well-formed requests or none, and each is answered once.

use super::stage::{self, INPUT_MAX};

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX)];
    let outcome = stage::sends(data);
    // The answer to a HEAD cannot be told from others by its bytes.
    if data.windows(4).any(|word| word == b"HEAD") {
        return;
    }
    let statuses = outcome.statuses();
    let served = statuses.iter().filter(|status| **status == 204).count();
    assert_eq!(served, outcome.requests.len(), "{statuses:?} for {:?}", outcome.requests);
    // After a refusal nothing is served.
    if let Some(refused) = statuses.iter().position(|status| *status == 400) {
        assert_eq!(refused, statuses.len() - 1, "{statuses:?}");
    }
}
