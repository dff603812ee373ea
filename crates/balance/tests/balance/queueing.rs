//! How long requests wait: a discrete-event simulation of many single servers with Poisson arrivals and exponential
//! service, against queueing theory. Time is in mean service times. Fixed seeds: each figure is the same in every run.

use crate::support::{Worker, equal};
use evenkeel_balance::{InFlight, Rng};
use evenkeel_model::Algorithm;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Who counts requests in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Counts {
    /// All workers together, as Evenkeel does.
    Shared,
    /// Each worker for itself, which is the mistake that these tests must be able to see.
    PerWorker,
}

#[derive(Clone, Copy)]
struct Scene {
    algorithm: Algorithm,
    endpoints: usize,
    workers: usize,
    counts: Counts,
    /// Share of the capacity that is asked for, 0 to 1.
    load: f64,
    /// When the measurement begins, and when arrivals end.
    warm: f64,
    end: f64,
}

/// Times in the system of those that arrived after the warm-up.
struct Times(Vec<f64>);

impl Times {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The time that 99 of 100 do not exceed.
    fn p99(&mut self) -> f64 {
        let place = self.0.len() * 99 / 100;
        *self.0.select_nth_unstable_by(place, f64::total_cmp).1
    }
}

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.unit_f64()).ln()
}

impl Scene {
    fn run(&self, seed: u64) -> Times {
        let mut chance = Rng::from_seed(seed);
        let shared = equal(self.algorithm, self.endpoints);
        let worker = |n: usize| {
            let own = equal(self.algorithm, self.endpoints);
            Worker::new(if self.counts == Counts::Shared { &shared } else { &own }, seed + 1000 + n as u64)
        };
        let mut workers: Vec<Worker> = (0..self.workers).map(worker).collect();
        // Each endpoint serves in the order of arrival; the first in its queue is being served.
        let mut queues: Vec<VecDeque<(f64, InFlight)>> = (0..self.endpoints).map(|_| VecDeque::new()).collect();
        // Positive numbers are ordered as their bits are.
        let mut departures: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut times = Vec::new();
        let mut arrival = 0.0;
        while arrival < self.end {
            arrival += exponential(&mut chance) / (self.load * self.endpoints as f64);
            while let Some(Reverse((bits, endpoint))) = departures.peek().copied() {
                let now = f64::from_bits(bits);
                if now > arrival {
                    break;
                }
                departures.pop();
                let (began, _in_flight) = queues[endpoint].pop_front().unwrap();
                if began >= self.warm {
                    times.push(now - began);
                }
                if !queues[endpoint].is_empty() {
                    departures.push(Reverse(((now + exponential(&mut chance)).to_bits(), endpoint)));
                }
            }
            let worker = &mut workers[chance.below(u32::try_from(self.workers).unwrap()) as usize];
            let endpoint = worker.pick();
            let in_flight = worker.picker.set().members()[endpoint].endpoint.begin();
            queues[endpoint].push_back((arrival, in_flight));
            if queues[endpoint].len() == 1 {
                departures.push(Reverse(((arrival + exponential(&mut chance)).to_bits(), endpoint)));
            }
        }
        Times(times)
    }
}

/// Mean time in the system for many endpoints, d choices and this load: the sum over i of load^((d^i - d) / (d - 1))
/// (Mitzenmacher, 2001, theorem 1).
fn supermarket_mean(load: f64) -> f64 {
    (1..30).map(|i| load.powf(2_f64.powi(i) - 2.0)).sum()
}

const POWER_OF_TWO: Scene = Scene {
    algorithm: Algorithm::PowerOfTwo,
    endpoints: 1000,
    workers: 16,
    counts: Counts::Shared,
    load: 0.9,
    warm: 100.0,
    end: 400.0,
};

fn off_theory(scene: Scene) -> (f64, f64) {
    let (mean, theory) = (scene.run(1).mean(), supermarket_mean(scene.load));
    println!("{:?} at {}: mean {mean:.3}, theory {theory:.3}", scene.counts, scene.load);
    (mean, (mean / theory - 1.0).abs())
}

#[test]
fn power_of_two_waits_as_long_as_theory_says() {
    for (load, rounded) in [(0.5, 1.27), (0.7, 1.61), (0.9, 2.61), (0.95, 3.38)] {
        assert!((supermarket_mean(load) - rounded).abs() < 0.006, "{load}");
        let (mean, off) = off_theory(Scene { load, ..POWER_OF_TWO });
        assert!(off <= 0.05, "at {load}: {mean}");
    }
}

#[test]
fn counts_for_each_worker_alone_fail_the_theory() {
    let (mean, off) = off_theory(Scene { counts: Counts::PerWorker, ..POWER_OF_TWO });
    assert!(off > 0.5 && mean > 4.2, "{mean}");
}

#[test]
fn random_choices_wait_as_long_as_single_queues() {
    // Each endpoint is an M/M/1 queue: mean 1 / (1 - load). The simulation against the oldest theory there is.
    let times = Scene { algorithm: Algorithm::Random, load: 0.7, ..POWER_OF_TWO }.run(1);
    assert!((times.mean() * 0.3 - 1.0).abs() < 0.03, "{}", times.mean());
}

#[test]
fn least_connections_of_many_workers_is_as_good_as_one_that_sees_all() {
    let scene = Scene { algorithm: Algorithm::LeastConnections, endpoints: 50, end: 5000.0, ..POWER_OF_TWO };
    let oracle = Scene { workers: 1, ..scene }.run(1).p99();
    for workers in [8, 32] {
        let shared = Scene { workers, ..scene }.run(2).p99();
        let alone = Scene { workers, counts: Counts::PerWorker, ..scene }.run(2).p99();
        println!("{workers} workers: p99 oracle {oracle:.3}, shared {shared:.3}, per worker {alone:.3}");
        assert!((shared / oracle - 1.0).abs() <= 0.05, "{workers} workers: {shared} against {oracle}");
        assert!(alone / oracle > 1.2, "{workers} workers: {alone} against {oracle}");
    }
}
