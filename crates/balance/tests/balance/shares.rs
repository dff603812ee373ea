//! Who gets how much.

use crate::support::{Worker, equal, flag, weighted};
use evenkeel_balance::{Flag, HashKey};
use evenkeel_model::Algorithm;
use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

/// The same turns, begun at the first turn of a cycle.
fn aligned(turns: &[usize], cycle: &[usize]) -> bool {
    (0..cycle.len()).any(|start| turns.iter().zip(cycle.iter().cycle().skip(start)).all(|(a, b)| a == b))
}

#[test]
fn weights_five_one_one_give_a_a_b_a_c_a_a() {
    let set = weighted(Algorithm::RoundRobin, &[5, 1, 1]);
    for seed in 0..20 {
        let mut worker = Worker::new(&set, seed);
        let turns: Vec<usize> = (0..21).map(|_| worker.pick()).collect();
        assert!(aligned(&turns, &[0, 0, 1, 0, 2, 0, 0]), "{turns:?}");
    }
}

#[test]
fn workers_do_not_begin_with_the_same_endpoint() {
    for weights in [vec![1; 10], vec![65_535, 65_534, 65_533, 65_532]] {
        let set = weighted(Algorithm::RoundRobin, &weights);
        let firsts: std::collections::BTreeSet<usize> = (0..100).map(|seed| Worker::new(&set, seed).pick()).collect();
        assert_eq!(firsts.len(), weights.len());
    }
}

proptest! {
    #[test]
    fn any_window_as_long_as_the_sum_of_weights_holds_exactly_the_weights(
        weights in vec(1_u16..40, 1..12),
        out in vec(proptest::bool::weighted(0.2), 12),
        seed: u64,
        skip in 0_usize..100,
    ) {
        let set = weighted(Algorithm::RoundRobin, &weights);
        let mut worker = Worker::new(&set, seed);
        worker.counts(skip);
        let mut expected: Vec<usize> = weights.iter().map(|&weight| weight.into()).collect();
        for index in (0..weights.len()).filter(|&index| out[index]) {
            flag(&set, index, Flag::Unhealthy, true);
            expected[index] = 0;
        }
        let cycle = expected.iter().sum();
        if cycle > 0 {
            for _ in 0..3 {
                prop_assert_eq!(&worker.counts(cycle), &expected);
            }
        }
        // And they return to their full share at once, neither more nor less.
        (0..weights.len()).for_each(|index| flag(&set, index, Flag::Unhealthy, false));
        let full: Vec<usize> = weights.iter().map(|&weight| weight.into()).collect();
        prop_assert_eq!(worker.counts(full.iter().sum()), full);
    }

    #[test]
    fn a_flapping_endpoint_does_not_disturb_the_turns_of_the_others(seed: u64, weights in vec(1_u16..10, 3..8)) {
        let set = weighted(Algorithm::RoundRobin, &weights);
        let mut worker = Worker::new(&set, seed);
        let mut counts = vec![0_usize; weights.len()];
        for turn in 0..700 {
            flag(&set, 0, Flag::Unhealthy, turn % 7 < 3);
            counts[worker.pick()] += 1;
        }
        // Each of the others has had the same number of cycles, give or take one.
        let cycles = |index: usize| counts[index] / usize::from(weights[index]);
        for index in 2..weights.len() {
            prop_assert!(cycles(index).abs_diff(cycles(1)) <= 1, "{counts:?} {weights:?}");
        }
    }
}

#[test]
fn a_long_cycle_is_exact_too_and_needs_no_table() {
    let weights: Vec<u16> = (0..40).map(|n| 60_001 + n * 7).collect();
    let set = weighted(Algorithm::RoundRobin, &weights);
    let mut worker = Worker::new(&set, 7);
    let cycle: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
    worker.counts(1234);
    let expected: Vec<usize> = weights.iter().map(|&weight| weight.into()).collect();
    assert_eq!(worker.counts(cycle), expected);
    flag(&set, 3, Flag::DrainingByApi, true);
    let mut without = expected.clone();
    without[3] = 0;
    assert_eq!(worker.counts(cycle - expected[3]), without);
}

#[test]
fn a_retry_takes_the_next_turn_of_somebody_else() {
    let set = weighted(Algorithm::RoundRobin, &[3, 1]);
    let mut worker = Worker::new(&set, 0);
    for _ in 0..10 {
        assert_eq!(worker.pick_for(HashKey::default(), &[0]), Some(1));
        assert_eq!(worker.pick_for(HashKey::default(), &[1]), Some(0));
        assert_eq!(worker.pick_for(HashKey::default(), &[0, 1]), None);
    }
}

/// Whether each count is within five standard deviations of its binomial expectation.
fn in_proportion(counts: &[usize], weights: &[usize]) -> bool {
    let (picks, total) = (counts.iter().sum::<usize>() as f64, weights.iter().sum::<usize>() as f64);
    counts.iter().zip(weights).all(|(&count, &weight)| {
        let share = weight as f64 / total;
        (count as f64 - picks * share).abs() <= 5.0 * (picks * share * (1.0 - share)).sqrt()
    })
}

#[test]
fn random_choices_follow_the_weights_whoever_is_out() {
    let weights = [1, 20, 300, 4, 50, 6, 70, 8];
    for algorithm in [Algorithm::Random, Algorithm::PowerOfTwo] {
        let set = weighted(algorithm, &weights);
        let mut worker = Worker::new(&set, 3);
        // From nearly all of the weight (drawn from the shared table) to a little of it (from one of the worker's own).
        for out in [vec![], vec![0], vec![4, 5], vec![2], vec![2, 6, 4]] {
            out.iter().for_each(|&index| flag(&set, index, Flag::Ejected, true));
            let mut expected = weights.map(usize::from);
            out.iter().for_each(|&index| expected[index] = 0);
            // Idle endpoints all carry the same load, so the first of the two decides.
            let counts = worker.counts(200_000);
            assert!(in_proportion(&counts, &expected), "{algorithm:?} without {out:?}: {counts:?}");
            out.iter().for_each(|&index| flag(&set, index, Flag::Ejected, false));
        }
    }
}

#[test]
fn least_connections_fills_the_emptiest_for_its_weight() {
    let set = weighted(Algorithm::LeastConnections, &[4, 2, 2]);
    let mut worker = Worker::new(&set, 1);
    let begin = |worker: &mut Worker| set.members()[worker.pick()].endpoint.begin();
    let requests: Vec<_> = (0..800).map(|_| begin(&mut worker)).collect();
    let in_flight: Vec<usize> = set.members().iter().map(|member| member.endpoint.in_flight()).collect();
    assert_eq!(in_flight, [400, 200, 200]);
    drop(requests);
    assert!(set.members().iter().all(|member| member.endpoint.in_flight() == 0));
}

#[test]
fn with_little_to_do_least_connections_takes_turns_by_weight() {
    for seed in 0..20 {
        let set = weighted(Algorithm::LeastConnections, &[5, 1, 1]);
        let mut worker = Worker::new(&set, seed);
        for _ in 0..10 {
            assert_eq!(worker.counts(7), [5, 1, 1]);
        }
    }
}

#[test]
fn least_connections_gives_equals_the_same_whether_it_looks_at_all_or_at_a_few() {
    for count in [10, 64, 65, 200] {
        let set = equal(Algorithm::LeastConnections, count);
        let counts = Worker::new(&set, 5).counts(count * 2000);
        assert!(in_proportion(&counts, &vec![1; count]), "{counts:?}");
        let firsts: std::collections::BTreeSet<usize> = (0..100).map(|seed| Worker::new(&set, seed).pick()).collect();
        assert!(firsts.len() > 7, "workers do not all begin with the same: {firsts:?}");
    }
}

#[test]
fn among_many_too_least_connections_with_little_to_do_follows_the_weights() {
    let weights: Vec<u16> = (0..100).map(|n| 1 + n % 5).collect();
    let set = weighted(Algorithm::LeastConnections, &weights);
    let counts = Worker::new(&set, 5).counts(200_000);
    assert!(in_proportion(&counts, &weights.iter().map(|&weight| weight.into()).collect::<Vec<_>>()), "{counts:?}");
}

/// How often each was chosen when so many clients ask at a time, each again when it has its answer; all endpoints are equally fast.
fn with_clients(algorithm: Algorithm, weights: &[u16], clients: usize) -> Vec<usize> {
    let set = weighted(algorithm, weights);
    let mut worker = Worker::new(&set, 11);
    let (mut running, mut counts) = (Vec::new(), vec![0; weights.len()]);
    for _ in 0..20_000 {
        if running.len() == clients {
            let ends = worker.rng.below(u32::try_from(clients).unwrap()) as usize;
            drop(running.swap_remove(ends));
        }
        let index = worker.pick();
        counts[index] += 1;
        running.push(set.members()[index].endpoint.begin());
    }
    counts
}

#[test]
fn weights_are_near_to_shares_whatever_the_load_and_never_turn_round() {
    for algorithm in [Algorithm::PowerOfTwo, Algorithm::LeastConnections] {
        for weights in [vec![9, 1], vec![5, 1, 1], vec![3, 2, 1], vec![1, 10, 100]] {
            for clients in [1, 2, 3, 4, 8, 16, 50, 200] {
                let counts = with_clients(algorithm, &weights, clients);
                let total: u16 = weights.iter().sum();
                for (count, weight) in counts.iter().zip(&weights) {
                    // Of the 20 000; a share that is a fraction of a request in flight can be had only roughly.
                    let (share, wanted) = (*count as f64 / 20_000.0, f64::from(*weight) / f64::from(total));
                    println!("{algorithm:?} {weights:?} {clients}: {share:.3} of {wanted:.3}");
                    assert!(share <= wanted * 1.6 + 0.01, "{algorithm:?} {weights:?} {clients}: {counts:?}");
                    assert!(share >= wanted * 0.4 - 0.01, "{algorithm:?} {weights:?} {clients}: {counts:?}");
                }
            }
        }
    }
}

#[test]
fn power_of_two_compares_load_for_weight() {
    // Both are always looked at; 9 requests on weight 10 are less than 1 on weight 1, also with the next one.
    let set = weighted(Algorithm::PowerOfTwo, &[10, 1]);
    let mut worker = Worker::new(&set, 1);
    let requests: Vec<_> = (0..9).map(|_| set.members()[0].endpoint.begin()).collect();
    let _one = set.members()[1].endpoint.begin();
    assert_eq!(worker.counts(1000), [1000, 0]);
    // 11 are more, but so would be 2 on weight 1: no difference, and the weights decide.
    let _two_more = [set.members()[0].endpoint.begin(), set.members()[0].endpoint.begin()];
    assert!(in_proportion(&worker.counts(10_000), &[10, 1]));
    let _nine_more: Vec<_> = (0..9).map(|_| set.members()[0].endpoint.begin()).collect();
    assert_eq!(worker.counts(1000), [0, 1000]);
    drop(requests);
}
