//! What never happens, whatever the flags, the attempts and the seed.

use crate::support::{Worker, flag, weighted};
use evenkeel_balance::{EndpointSet, Flag, HashKey, InFlight, Rng};
use evenkeel_model::Algorithm;
use proptest::{
    collection::vec, prop_assert, prop_assert_eq, prop_oneof, proptest, sample::select, strategy::Strategy,
};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Event {
    Flag(usize, Flag, bool),
    Pick { key: u64, tried: Vec<usize> },
    End(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (0_usize..12, select(&Flag::ALL[..]), proptest::bool::ANY).prop_map(|(n, flag, up)| Event::Flag(n, flag, up)),
        4 => (proptest::num::u64::ANY, vec(0_usize..12, 0..5)).prop_map(|(key, tried)| Event::Pick { key, tried }),
        2 => (0_usize..100).prop_map(Event::End),
    ]
}

/// The rule of the handbook, said once more in the plainest way.
fn candidates(set: &EndpointSet, tried: &[u32]) -> Vec<usize> {
    let members = || set.members().iter().enumerate();
    let barred = |flag: &Flag, n: usize| set.members()[n].endpoint.has(*flag);
    let against =
        [Flag::Unhealthy, Flag::Ejected, Flag::DrainingByFile, Flag::DrainingByApi, Flag::Removed, Flag::NoAddress];
    let usable = |n: usize| !against.iter().any(|flag| barred(flag, n));
    let known: Vec<usize> = members().map(|(n, _)| n).filter(|&n| usable(n) && !barred(&Flag::Unknown, n)).collect();
    let all = if known.is_empty() { members().map(|(n, _)| n).filter(|&n| usable(n)).collect() } else { known };
    all.into_iter().filter(|&n| !tried.contains(&u32::try_from(n).unwrap())).collect()
}

proptest! {
    #[test]
    fn a_pick_is_always_one_that_may_be_chosen_and_none_only_when_nobody_may(
        algorithm in select(&Algorithm::ALL[..]),
        // Also weights whose cycle is too long for a schedule.
        weights in prop_oneof![vec(1_u16..2, 0..12), vec(1_u16..9, 0..12), vec(1_u16.., 0..12)],
        seed: u64,
        events in vec(event(), 0..200),
    ) {
        let set = weighted(algorithm, &weights);
        let mut worker = Worker::new(&set, seed);
        let mut running: Vec<InFlight> = Vec::new();
        for event in events {
            match event {
                Event::Flag(n, which, up) => if n < weights.len() { flag(&set, n, which, up) },
                Event::Pick { key, tried } => {
                    let tried: Vec<u32> = tried.into_iter().map(|n| u32::try_from(n).unwrap()).collect();
                    let candidates = candidates(&set, &tried);
                    match worker.pick_for(HashKey(key), &tried) {
                        Some(index) => {
                            prop_assert!(candidates.contains(&index), "{index} of {candidates:?}");
                            running.push(set.members()[index].endpoint.begin());
                        }
                        None => prop_assert_eq!(candidates, Vec::<usize>::new()),
                    }
                }
                Event::End(n) => if !running.is_empty() { drop(running.swap_remove(n % running.len())) },
            }
            prop_assert_eq!(in_flight(&set), running.len());
        }
        drop(running);
        prop_assert_eq!(in_flight(&set), 0);
    }
}

fn in_flight(set: &EndpointSet) -> usize {
    set.members().iter().map(|member| member.endpoint.in_flight()).sum()
}

#[test]
fn with_any_seed_no_request_goes_to_a_draining_endpoint() {
    for algorithm in Algorithm::ALL {
        for seed in 0..50 {
            let weights: Vec<u16> = (0..20).map(|n| 1 + n % 4).collect();
            let set = weighted(algorithm, &weights);
            let mut workers: Vec<Worker> = (0..4).map(|n| Worker::new(&set, seed * 4 + n)).collect();
            let mut chance = Rng::from_seed(seed);
            for request in 0..2000 {
                if request % 10 == 0 {
                    let voice = [Flag::DrainingByFile, Flag::DrainingByApi, Flag::Removed][chance.below(3) as usize];
                    flag(&set, chance.below(20) as usize, voice, chance.below(2) == 0);
                }
                let worker = &mut workers[chance.below(4) as usize];
                if let Some(index) = worker.pick_for(HashKey(chance.next_u64()), &[]) {
                    assert!(!set.members()[index].endpoint.draining(), "{algorithm:?}, seed {seed}, request {request}");
                }
            }
        }
    }
}

#[test]
fn workers_on_their_own_threads_count_every_request_in_and_out() {
    for algorithm in Algorithm::ALL {
        let set = weighted(algorithm, &[1, 2, 3, 4]);
        let done = Arc::new(std::sync::Barrier::new(5));
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (set, done) = (&set, Arc::clone(&done));
                scope.spawn(move || {
                    let mut worker = Worker::new(set, seed);
                    for request in 0..10_000 {
                        if let Some(index) = worker.pick_for(HashKey(request), &[]) {
                            drop(set.members()[index].endpoint.begin());
                        }
                    }
                    done.wait();
                    // Whatever the threads saw on the way, the last word is seen by all.
                    assert_eq!(worker.pick_for(HashKey(1), &[]), Some(2));
                });
            }
            for round in 0..1000 {
                flag(&set, round % 4, Flag::Unhealthy, round % 3 == 0);
            }
            for index in 0..4 {
                flag(&set, index, Flag::Unhealthy, index != 2);
            }
            done.wait();
        });
        assert_eq!(in_flight(&set), 0);
    }
}
