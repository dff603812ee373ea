//! What lets the clients of a listener resume their sessions: tickets, whose keys change, and a memory of bounded size for those that know
//! no tickets.

use super::files::TlsProblem;
use arc_swap::ArcSwap;
use rustls::{
    Error,
    crypto::aws_lc_rs::Ticketer,
    pki_types::UnixTime,
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
};
use std::sync::Arc;

/// Sessions that a listener remembers for clients that know no tickets, all workers together: some MiB when full.
const SESSIONS_MAX: usize = 10_240;

/// Seconds for which tickets are made with one key. For as long again they are understood, so a ticket is good for 6 to 12 hours.
const PERIOD: u64 = 6 * 60 * 60;

/// What lets clients resume.
#[derive(Clone)]
pub(super) struct Resuming {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) sessions: Arc<dyn StoresServerSessions>,
}

impl Resuming {
    pub(super) fn new() -> Result<Self, TlsProblem> {
        let tickets = Tickets::new(now()).map_err(|error| TlsProblem {
            key: String::new(),
            message: format!("no keys for session tickets: {error}"),
            hint: "the system must be able to give random bytes",
        })?;
        Ok(Self { tickets: Arc::new(tickets), sessions: ServerSessionMemoryCache::new(SESSIONS_MAX) })
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    UnixTime::now().as_secs()
}

/// Tickets (RFC 5077, section 4) with a key that changes. Those of rustls change it too, but only with the next ticket after its time: where
/// nobody comes for a day, the key of yesterday would still be good.
#[derive(Debug)]
struct Tickets(ArcSwap<Keys>);

#[derive(Debug)]
struct Keys {
    /// When the period of `current` began.
    since: u64,
    current: Arc<dyn ProducesTickets>,
    /// That of the period before.
    previous: Option<Arc<dyn ProducesTickets>>,
}

impl Tickets {
    fn new(now: u64) -> Result<Self, Error> {
        Ok(Self(ArcSwap::from_pointee(Keys { since: now, current: Ticketer::new()?, previous: None })))
    }

    /// The keys of now. `None`: it is time for another one, and the system has no random bytes for it; then nobody resumes.
    fn keys(&self, now: u64) -> Option<Arc<Keys>> {
        let keys = self.0.load_full();
        // A clock that was set back makes no key older.
        let age = now.saturating_sub(keys.since);
        if age < PERIOD {
            return Some(keys);
        }
        let current = Ticketer::new().ok()?;
        let next = Arc::new(match age < 2 * PERIOD {
            // Periods follow each other, however late somebody comes: otherwise the key before would live on from here.
            true => Keys { since: keys.since + PERIOD, current, previous: Some(Arc::clone(&keys.current)) },
            false => Keys { since: now, current, previous: None },
        });
        // Another worker may have been faster; then its keys are the next ones.
        let before = self.0.compare_and_swap(&keys, Arc::clone(&next));
        Some(if Arc::ptr_eq(&before, &keys) { next } else { Arc::clone(&before) })
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        self.keys(now)?.current.encrypt(plain)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys(now)?;
        keys.current.decrypt(ticket).or_else(|| keys.previous.as_ref()?.decrypt(ticket))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * PERIOD).expect("12 hours are some ten thousand seconds")
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: u64 = 1_800_000_000;

    fn tickets() -> Tickets {
        Tickets::new(BEGUN).unwrap()
    }

    fn is_good(tickets: &Tickets, ticket: &[u8], now: u64) -> bool {
        let opened = tickets.open(ticket, now);
        assert!(opened.as_deref().is_none_or(|plain| plain == b"a session"));
        opened.is_some()
    }

    #[test]
    fn a_ticket_of_the_key_before_is_still_good_and_an_older_one_is_not() {
        let tickets = tickets();
        let first = tickets.seal(b"a session", BEGUN).unwrap();
        let second = tickets.seal(b"a session", BEGUN + PERIOD).unwrap();
        assert_ne!(first[..16], second[..16], "they name their keys");

        assert!(is_good(&tickets, &first, BEGUN + PERIOD));
        assert!(is_good(&tickets, &first, BEGUN + 2 * PERIOD - 1));
        assert!(!is_good(&tickets, &first, BEGUN + 2 * PERIOD));
        assert!(is_good(&tickets, &second, BEGUN + 2 * PERIOD));
        assert!(!is_good(&tickets, &second, BEGUN + 3 * PERIOD));
    }

    #[test]
    fn however_late_the_next_one_comes_no_ticket_is_good_for_more_than_12_hours() {
        for comes in [PERIOD - 1, PERIOD, 2 * PERIOD - 1, 2 * PERIOD, 5 * PERIOD] {
            let tickets = tickets();
            let first = tickets.seal(b"a session", BEGUN).unwrap();
            tickets.seal(b"another", BEGUN + comes).unwrap();
            assert!(!is_good(&tickets, &first, BEGUN + comes.max(2 * PERIOD)), "{comes}");
            let next = tickets.seal(b"a session", BEGUN + 5 * PERIOD).unwrap();
            assert!(is_good(&tickets, &next, BEGUN + 6 * PERIOD - 1), "every one is good for 6 hours: {comes}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_session() {
        let tickets = tickets();
        let ticket = tickets.seal(b"a session", BEGUN).unwrap();
        assert!(is_good(&tickets, &ticket, BEGUN - 100 * PERIOD));
    }

    #[test]
    fn what_was_not_sealed_here_is_no_ticket() {
        let (ours, theirs) = (tickets(), tickets());
        let mut ticket = ours.seal(b"a session", BEGUN).unwrap();
        assert!(!is_good(&theirs, &ticket, BEGUN));
        for at in 0..ticket.len() {
            ticket[at] ^= 1;
            assert_eq!(ours.open(&ticket, BEGUN), None, "byte {at}");
            ticket[at] ^= 1;
        }
        assert!(is_good(&ours, &ticket, BEGUN));
    }

    #[test]
    fn of_sessions_so_many_are_remembered_and_the_last_of_all() {
        let sessions = Resuming::new().unwrap().sessions;
        let keys = (0..3 * SESSIONS_MAX as u64).map(|n| n.to_be_bytes().to_vec());
        for key in keys.clone() {
            assert!(sessions.put(key, vec![0; 8]));
        }
        let known: Vec<_> = keys.map(|key| sessions.get(&key).is_some()).collect();
        let count = known.iter().filter(|known| **known).count();
        assert!((SESSIONS_MAX / 2..=SESSIONS_MAX).contains(&count), "{count}");
        assert_eq!(known.last(), Some(&true));
    }
}
