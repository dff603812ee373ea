//! Which client goes where.

use crate::support::{Worker, address, equal, flag, named, weighted};
use evenkeel_balance::{EndpointSet, Flag, HashKey};
use evenkeel_model::Algorithm;
use std::{net::Ipv4Addr, sync::Arc};

fn client(n: u32) -> HashKey {
    HashKey::of_ip(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

/// The endpoint of each client; `None` where there is none.
fn placements(set: &Arc<EndpointSet>, clients: u32) -> Vec<Option<usize>> {
    let mut worker = Worker::new(set, 1);
    (0..clients).map(|n| worker.pick_for(client(n), &[])).collect()
}

#[test]
fn two_processes_of_any_version_agree_on_a_placement() {
    let set = weighted(Algorithm::IpHash, &[1, 2, 3, 4, 5]);
    let placed: Vec<usize> = placements(&set, 24).into_iter().flatten().collect();
    assert_eq!(placed, [3, 1, 4, 2, 3, 4, 0, 1, 4, 1, 1, 4, 3, 3, 0, 1, 4, 4, 2, 2, 2, 2, 4, 4]);
    flag(&set, 4, Flag::Unhealthy, true);
    let placed: Vec<usize> = placements(&set, 24).into_iter().flatten().collect();
    assert_eq!(placed, [3, 1, 0, 2, 3, 3, 0, 1, 1, 1, 1, 2, 3, 3, 0, 1, 0, 2, 2, 2, 2, 2, 1, 2]);
}

#[test]
fn a_client_keeps_its_endpoint_on_every_worker() {
    let set = equal(Algorithm::IpHash, 10);
    let (mut one, mut other) = (Worker::new(&set, 1), Worker::new(&set, 99));
    for n in 0..1000 {
        let place = one.pick_for(client(n), &[]);
        assert_eq!(one.pick_for(client(n), &[]), place);
        assert_eq!(other.pick_for(client(n), &[]), place);
    }
}

#[test]
fn neighbours_of_a_network_are_spread_over_all_endpoints() {
    let mut counts = [0_u32; 10];
    placements(&equal(Algorithm::IpHash, 10), 100_000).into_iter().flatten().for_each(|index| counts[index] += 1);
    assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
}

#[test]
fn a_failing_endpoint_moves_only_its_own_clients_and_all_over_the_rest() {
    let set = equal(Algorithm::IpHash, 20);
    let before = placements(&set, 20_000);
    flag(&set, 7, Flag::Unhealthy, true);
    let during = placements(&set, 20_000);
    let mut taken_over = [0_u32; 20];
    for (then, now) in before.iter().zip(&during) {
        if *then == Some(7) {
            taken_over[now.unwrap()] += 1;
        } else {
            assert_eq!(then, now);
        }
    }
    assert_eq!(taken_over[7], 0);
    let mean = taken_over.iter().sum::<u32>() / 19;
    assert!((0..20).filter(|&n| n != 7).all(|n| taken_over[n].abs_diff(mean) < mean / 2 + 10), "{taken_over:?}");
    flag(&set, 7, Flag::Unhealthy, false);
    assert_eq!(placements(&set, 20_000), before);
}

#[test]
fn one_failing_after_another_moves_only_its_own_clients_down_to_the_last() {
    let set = equal(Algorithm::IpHash, 100);
    let mut before = placements(&set, 3000);
    for gone in 0..99 {
        flag(&set, gone, Flag::Ejected, true);
        let now = placements(&set, 3000);
        for (then, now) in before.iter().zip(&now) {
            assert!(then == now || *then == Some(gone), "without {gone}: {then:?} to {now:?}");
        }
        before = now;
    }
    assert!(before.iter().all(|place| *place == Some(99)));
    flag(&set, 99, Flag::Ejected, true);
    assert!(placements(&set, 10).iter().all(Option::is_none));
}

#[test]
fn a_retry_of_a_client_goes_to_the_same_second_endpoint_everywhere() {
    let set = equal(Algorithm::IpHash, 10);
    let (mut one, mut other) = (Worker::new(&set, 1), Worker::new(&set, 2));
    let mut seconds = std::collections::BTreeSet::new();
    for n in 0..1000 {
        let first = one.pick_for(client(n), &[]).unwrap();
        let tried = [u32::try_from(first).unwrap()];
        let second = one.pick_for(client(n), &tried);
        assert_eq!(other.pick_for(client(n), &tried), second);
        assert_ne!(second, Some(first));
        seconds.insert((first, second));
    }
    assert_eq!(seconds.len(), 90);
}

#[test]
fn the_order_of_endpoints_in_the_file_moves_no_client() {
    let forwards = named(Algorithm::IpHash, (0..30).map(|n| (address(n), 1)));
    let backwards = named(Algorithm::IpHash, (0..30).rev().map(|n| (address(n), 1)));
    // Healthy, some failing, and nearly all failing.
    for failing in [0, 10, 29] {
        for n in 0..failing {
            flag(&forwards, n, Flag::Unhealthy, true);
            flag(&backwards, 29 - n, Flag::Unhealthy, true);
        }
        let mirrored = placements(&backwards, 1000).into_iter().map(|place| place.map(|n| 29 - n));
        assert_eq!(placements(&forwards, 1000), mirrored.collect::<Vec<_>>());
    }
}

#[test]
fn clients_follow_the_weights() {
    let mut counts = [0_u32; 3];
    let set = weighted(Algorithm::IpHash, &[3, 2, 1]);
    placements(&set, 60_000).into_iter().flatten().for_each(|index| counts[index] += 1);
    assert!(
        counts.iter().zip([30_000_u32, 20_000, 10_000]).all(|(count, mean)| count.abs_diff(mean) < 600),
        "{counts:?}"
    );
}
