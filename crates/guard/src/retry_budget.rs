//! How many retries an upstream can bear.
//!
//! `upstream/retry` asks before it sends a request again. Requests pay in, retries draw out, both are forgotten after two
//! seconds: so a retry storm cannot grow (each failed request would cause two), while now and then a failure is mended.
//! Never-sent attempts do not count here.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many retries an upstream can bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// Retries for each hundred requests.
    pub percent: u32,
    /// Retries a second that are always allowed, so that an upstream with little traffic has some at all. Not on top of the
    /// percentage: the larger of the two counts.
    pub min_per_second: u32,
}

impl Default for RetryLimits {
    /// 20 %, at least 3 a second: in a full outage, at 100 requests a second and more, at most 1.2 attempts for a request.
    fn default() -> Self {
        Self { percent: 20, min_per_second: 3 }
    }
}

/// What remains of them: the requests and retries of the last two seconds, of all workers. Lock-free.
///
/// Two seconds: an endpoint that dies with requests of a second's length in flight can still have them retried, yet an
/// outage that begins after a calm time is not doubled for longer than 0.4 s.
#[derive(Debug)]
#[repr(align(128))]
pub struct RetryBudget {
    limits: RetryLimits,
    /// A ring over time; see [`Slot`].
    slots: [AtomicU64; SLOTS],
}

const SLOTS: usize = 10;
const SLOT_MS: u64 = 200;
const WINDOW_SECONDS: u64 = SLOTS as u64 * SLOT_MS / 1000;

/// One fifth of a second. In one word, so that a spend is a single compare-and-swap: whoever counted in the meantime
/// makes it fail and be judged again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    /// Which one, modulo 2^20 (58 hours). Whatever a slot of 58 hours ago would add is nothing to worry about.
    epoch: u64,
    /// At most 2^22 - 1, that is, 20 million a second.
    requests: u64,
    retries: u64,
}

const EPOCH_MASK: u64 = (1 << 20) - 1;
const COUNT_MAX: u64 = (1 << 22) - 1;
const ONE_TURN_YOUNGER: i64 = -(SLOTS as i64);

impl Slot {
    const fn unpack(word: u64) -> Self {
        Self { epoch: word >> 44, requests: (word >> 22) & COUNT_MAX, retries: word & COUNT_MAX }
    }

    const fn pack(self) -> u64 {
        self.epoch << 44 | self.requests << 22 | self.retries
    }

    /// How many slots older it is than `epoch`; negative when it is younger.
    fn age(self, epoch: u64) -> i64 {
        let forwards = epoch.wrapping_sub(self.epoch) & EPOCH_MASK;
        let age = i64::try_from(forwards).expect("20 bits");
        if forwards > EPOCH_MASK / 2 { age - (1 << 20) } else { age }
    }

    /// The same place of the ring at this time: empty when it holds another turn of the ring. Only a caller whose clock is
    /// one turn behind counts into the younger one.
    fn at(self, epoch: u64) -> Self {
        let keeps = match self.age(epoch) {
            0 => true,
            // One that was never used says that it is of epoch 0, which looks younger just before the number comes round.
            ONE_TURN_YOUNGER => self.requests > 0 || self.retries > 0,
            _ => false,
        };
        if keeps { self } else { Self { epoch: epoch & EPOCH_MASK, ..Self::default() } }
    }

    fn and_a_request(self) -> Self {
        Self { requests: (self.requests + 1).min(COUNT_MAX), ..self }
    }

    fn and_a_retry(self) -> Self {
        Self { retries: (self.retries + 1).min(COUNT_MAX), ..self }
    }
}

impl RetryBudget {
    /// A budget without a past.
    #[must_use]
    pub fn new(limits: RetryLimits) -> Self {
        Self { limits, slots: Default::default() }
    }

    /// A request came in, at this many milliseconds of a clock that all workers share and that does not go back.
    pub fn on_request(&self, now_ms: u64) {
        let (epoch, place) = place(now_ms);
        let count = |word| Some(Slot::unpack(word).at(epoch).and_a_request().pack());
        let counted = self.slots[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        debug_assert!(counted.is_ok(), "counting never gives up");
    }

    /// Whether one more retry may be sent now; if so it is counted. Of workers that ask at the same time, no more are told
    /// yes than may.
    #[must_use = "a yes has been counted"]
    pub fn try_spend(&self, now_ms: u64) -> bool {
        let (epoch, place) = place(now_ms);
        loop {
            let seen = self.slots[place].load(Ordering::Relaxed);
            if !self.may(epoch, place, seen) {
                return false;
            }
            let spent = Slot::unpack(seen).at(epoch).and_a_retry().pack();
            if self.slots[place].compare_exchange_weak(seen, spent, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
    }

    /// Whether the window has room, its slot at `place` being as `seen`.
    fn may(&self, epoch: u64, place: usize, seen: u64) -> bool {
        let (mut requests, mut retries) = (0, 0);
        for (index, word) in self.slots.iter().enumerate() {
            let slot = Slot::unpack(if index == place { seen } else { word.load(Ordering::Relaxed) });
            if slot.age(epoch).unsigned_abs() < SLOTS as u64 {
                requests += slot.requests;
                retries += slot.retries;
            }
        }
        let share = requests * u64::from(self.limits.percent) / 100;
        retries < share.max(u64::from(self.limits.min_per_second) * WINDOW_SECONDS)
    }
}

/// The number of the slot of this time, and where in the ring it is.
fn place(now_ms: u64) -> (u64, usize) {
    let epoch = now_ms / SLOT_MS;
    (epoch, usize::try_from(epoch % SLOTS as u64).expect("less than SLOTS"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    /// The rule in the plainest way: remember everything.
    #[derive(Default)]
    struct Model {
        requests: Vec<u64>,
        retries: Vec<u64>,
    }

    impl Model {
        fn try_spend(&mut self, limits: RetryLimits, now_ms: u64) -> bool {
            let slot = now_ms / SLOT_MS;
            let recent = |times: &[u64]| times.iter().filter(|&&then| slot - then / SLOT_MS < 10).count() as u64;
            let allowed = recent(&self.requests) * u64::from(limits.percent) / 100;
            let may = recent(&self.retries) < allowed.max(u64::from(limits.min_per_second) * 2);
            if may {
                self.retries.push(now_ms);
            }
            may
        }
    }

    proptest! {
        #[test]
        fn a_retry_is_allowed_exactly_while_the_last_two_seconds_have_room(
            percent in 0_u32..200,
            min_per_second in 0_u32..5,
            start in 0_u64..u64::MAX / 2,
            events in vec((0_u64..120, any::<bool>()), 0..400),
        ) {
            let limits = RetryLimits { percent, min_per_second };
            let (budget, mut model, mut now) = (RetryBudget::new(limits), Model::default(), start);
            for (pause, request) in events {
                now += pause;
                if request {
                    budget.on_request(now);
                    model.requests.push(now);
                } else {
                    prop_assert_eq!(budget.try_spend(now), model.try_spend(limits, now));
                }
            }
        }

        #[test]
        fn a_slot_is_read_as_it_was_written(epoch in 0..=EPOCH_MASK, requests in 0..=COUNT_MAX, retries in 0..=COUNT_MAX) {
            let slot = Slot { epoch, requests, retries };
            prop_assert_eq!(Slot::unpack(slot.pack()), slot);
            let fuller = slot.and_a_request().and_a_retry();
            prop_assert_eq!(Slot::unpack(fuller.pack()), fuller);
        }
    }

    /// Attempts for each request while every attempt fails and a failed one asks for a retry, and that again.
    fn outage(requests_per_second: u64, seconds: u64) -> f64 {
        let budget = RetryBudget::new(RetryLimits::default());
        let (requests, mut attempts) = (requests_per_second * seconds, 0_u32);
        for request in 0..requests {
            let now_ms = 1_000_000 + request * 1000 / requests_per_second;
            budget.on_request(now_ms);
            attempts += 1;
            for _ in 0..3 {
                attempts += u32::from(budget.try_spend(now_ms));
            }
        }
        f64::from(attempts) / requests as f64
    }

    #[test]
    fn in_a_full_outage_a_request_costs_at_most_one_attempt_and_a_fifth() {
        for requests_per_second in [100, 1000, 20_000] {
            let attempts = outage(requests_per_second, 20);
            assert!((1.19..=1.2).contains(&attempts), "{attempts} at {requests_per_second} a second");
        }
    }

    #[test]
    fn an_upstream_with_little_traffic_has_three_retries_a_second() {
        let budget = RetryBudget::new(RetryLimits::default());
        let granted = |second: u64| (0..50).filter(|ask| budget.try_spend(second * 1000 + ask * 20)).count();
        assert_eq!((0..20).map(granted).sum::<usize>(), 60);
        assert_eq!([granted(1000), granted(1001), granted(1002)], [6, 0, 6]);
    }

    #[test]
    fn a_place_that_was_never_used_does_not_look_younger_when_the_number_of_the_slot_comes_round() {
        let budget = RetryBudget::new(RetryLimits { percent: 0, min_per_second: 1 });
        let coming_round = (EPOCH_MASK + 1) * SLOT_MS;
        let granted = (0..40).filter(|n| budget.try_spend(coming_round - 4000 + n * 200)).count();
        assert_eq!(granted, 8, "two in each two seconds, of eight");
    }

    #[test]
    fn a_calm_hour_saves_up_no_more_than_two_seconds() {
        let budget = RetryBudget::new(RetryLimits::default());
        (0..36_000).for_each(|request| budget.on_request(request * 100));
        assert_eq!((0..1000).filter(|_| budget.try_spend(3_600_000)).count(), 6);
        (0..500).for_each(|_| budget.on_request(3_600_000));
        assert_eq!((0..1000).filter(|_| budget.try_spend(3_600_000)).count(), 97);
    }

    #[test]
    fn a_worker_whose_clock_lags_neither_loses_counts_nor_finds_more_room() {
        let budget = RetryBudget::new(RetryLimits { percent: 0, min_per_second: 1 });
        assert!(budget.try_spend(10_000) && budget.try_spend(10_400));
        for lag in [1, 200, 400, 1500] {
            assert!(!budget.try_spend(10_400 - lag), "{lag} ms behind");
        }
        assert!(budget.try_spend(12_000));
    }

    #[test]
    fn workers_that_ask_at_once_get_no_more_than_there_is() {
        let budget = RetryBudget::new(RetryLimits { percent: 50, min_per_second: 0 });
        (0..10_000).for_each(|_| budget.on_request(5000));
        let ask = || (0..5000).filter(|_| budget.try_spend(5000)).count();
        let granted = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
        });
        assert_eq!(granted, 5000);
    }
}
