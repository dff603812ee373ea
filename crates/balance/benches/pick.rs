//! What a pick costs, with the count of the request in and out and without: `cargo bench -p evenkeel-balance`.
//!
//! Gates at equal weights: 50 ns with 10 endpoints, 150 ns with 1 000. Weighted figures are listed apart.

use divan::{Bencher, black_box};
use evenkeel_balance::{Endpoint, EndpointSet, Flag, Generation, HashKey, Member, Picker, Rng};
use evenkeel_model::{Algorithm, Weight};
use std::sync::Arc;

fn main() {
    divan::main();
}

const ENDPOINTS: [u16; 4] = [3, 10, 1000, 10_000];

fn members(count: u16, weight: fn(u16) -> u16) -> (Vec<Member>, Generation) {
    let generation = Generation::default();
    let member = |n: u16| Member {
        endpoint: Endpoint::new(
            format!("10.0.{}.{}:80", n / 256, n % 256).parse().expect("an address"),
            generation.clone(),
        ),
        weight: Weight::new(weight(n)).expect("not zero"),
    };
    ((0..count).map(member).collect(), generation)
}

fn set(algorithm: Algorithm, count: u16, weight: fn(u16) -> u16) -> Arc<EndpointSet> {
    let (members, generation) = members(count, weight);
    Arc::new(EndpointSet::new(members, generation, algorithm))
}

fn picks(bencher: Bencher<'_, '_>, set: Arc<EndpointSet>) {
    let mut rng = Rng::from_seed(1);
    let mut picker = Picker::new(set, &mut rng);
    bencher.bench_local(|| {
        let key = HashKey(rng.next_u64());
        picker.pick(black_box(key), black_box(&[]), &mut rng)
    });
}

#[divan::bench(args = Algorithm::ALL, consts = ENDPOINTS)]
fn equal<const N: u16>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    picks(bencher, set(algorithm, N, |_| 1));
}

#[divan::bench(args = Algorithm::ALL, consts = ENDPOINTS)]
fn weighted<const N: u16>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    picks(bencher, set(algorithm, N, |n| n % 5 + 1));
}

/// Weights whose cycle is too long for a schedule.
#[divan::bench(consts = ENDPOINTS)]
fn round_robin_by_stride<const N: u16>(bencher: Bencher<'_, '_>) {
    picks(bencher, set(Algorithm::RoundRobin, N, |n| 50_000 + n));
}

/// The first pick after a flag has changed.
#[divan::bench(args = Algorithm::ALL, consts = ENDPOINTS)]
fn after_a_flag<const N: u16>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let set = set(algorithm, N, |n| n % 5 + 1);
    let mut rng = Rng::from_seed(1);
    let mut picker = Picker::new(Arc::clone(&set), &mut rng);
    let mut up = false;
    bencher.bench_local(|| {
        up = !up;
        set.members()[0].endpoint.set(Flag::Unhealthy, up);
        picker.pick(HashKey(1), &[], &mut rng)
    });
}

/// Counting a request in and out.
#[divan::bench]
fn begin_and_end(bencher: Bencher<'_, '_>) {
    let set = set(Algorithm::PowerOfTwo, 1, |_| 1);
    bencher.bench_local(|| drop(black_box(set.members()[0].endpoint.begin())));
}

/// On the control thread.
#[divan::bench(args = Algorithm::ALL, consts = [100, 1000])]
fn build_equal<const N: u16>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    bencher
        .with_inputs(|| members(N, |_| 1))
        .bench_local_values(|(members, generation)| EndpointSet::new(members, generation, algorithm));
}

/// On the control thread.
#[divan::bench(args = Algorithm::ALL, consts = [100, 1000])]
fn build_weighted<const N: u16>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    bencher
        .with_inputs(|| members(N, |n| n % 50 + 1))
        .bench_local_values(|(members, generation)| EndpointSet::new(members, generation, algorithm));
}
