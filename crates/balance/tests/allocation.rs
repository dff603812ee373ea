//! A pick takes no memory, also when it has to look at all flags again. In a binary of its own: it replaces the allocator.
#![expect(unsafe_code, reason = "counting allocations means being the allocator; tests only")]

use evenkeel_balance::{Endpoint, EndpointSet, Flag, Generation, HashKey, Member, Picker, Rng};
use evenkeel_model::{Algorithm, Weight};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is the system allocator's own, with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_pick_takes_no_memory_even_after_a_flag_has_changed() {
    let short: fn(u16) -> u16 = |n| n % 3 + 1;
    let long: fn(u16) -> u16 = |n| 60_000 + n;
    for algorithm in Algorithm::ALL {
        for weight in [|_| 1, short, long] {
            let generation = Generation::default();
            let member = |n: u16| Member {
                endpoint: Endpoint::new(format!("10.0.0.1:{n}").parse().unwrap(), generation.clone()),
                weight: Weight::new(weight(n)).unwrap(),
            };
            let set = Arc::new(EndpointSet::new((0..300).map(member).collect(), generation.clone(), algorithm));
            let mut rng = Rng::from_seed(1);
            let mut picker = Picker::new(Arc::clone(&set), &mut rng);

            let before = TAKEN.get();
            for (round, member) in (0_u64..).zip(set.members()) {
                member.endpoint.set(Flag::Unhealthy, true);
                let first = picker.pick(HashKey(round), &[], &mut rng);
                let second = picker.pick(HashKey(round), &[first.unwrap_or(0)], &mut rng);
                assert_eq!(first.is_some(), round < 299, "{second:?}");
                drop(first.map(|index| set.members()[index as usize].endpoint.begin()));
            }
            assert_eq!(TAKEN.get(), before, "{algorithm:?}");
        }
    }
}
