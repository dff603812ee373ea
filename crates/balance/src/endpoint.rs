//! One address of an upstream, as all workers and snapshots share it.
//!
//! Made by the registry of endpoints once for each (upstream, address) and kept over reloads. Health, outlier detection,
//! discovery and operators each set their own flags; `eligible.rs` reads them; requests count themselves in and out.
//! Never decides anything: flags are voices, and who may be chosen is `eligible.rs`'s to say.

use crate::Generation;
use evenkeel_model::Address;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    generation: Generation,
    flags: AtomicU32,
    in_flight: Padded<AtomicUsize>,
}

/// Alone on its cache lines, so that counting a request does not slow the readers of anything else. 128 bytes: x86-64
/// fetches lines in pairs (Intel 64 and IA-32 Optimization Reference Manual, "Spatial Prefetcher").
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// One voice about an endpoint. Each has one owner, who alone sets and clears it; any of them, `Unknown` apart, keeps
/// new requests away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Flag {
    /// Active probes: it does not answer as it should.
    Unhealthy = 1 << 0,
    /// Active probes: no verdict yet. Chosen only while none that is known to be healthy can be.
    Unknown = 1 << 1,
    /// Outlier detection: its answers in traffic were too bad.
    Ejected = 1 << 2,
    /// The configuration file says `drain = true`.
    DrainingByFile = 1 << 3,
    /// An operator drains it through the admin API.
    DrainingByApi = 1 << 4,
    /// It is in no configuration any more; an old snapshot may still hold it.
    Removed = 1 << 5,
    /// Its host name never resolved.
    NoAddress = 1 << 6,
}

/// All voices at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flag {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unhealthy,
        Self::Unknown,
        Self::Ejected,
        Self::DrainingByFile,
        Self::DrainingByApi,
        Self::Removed,
        Self::NoAddress,
    ];

    const fn bit(self) -> u32 {
        self as u32
    }
}

impl Flags {
    const DRAINING: u32 = Flag::DrainingByFile.bit() | Flag::DrainingByApi.bit() | Flag::Removed.bit();
    const UNHEALTHY: u32 = Flag::Unhealthy.bit() | Flag::Unknown.bit();

    /// Whether this voice is among them.
    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Whether it takes no new requests because someone wants it gone: by file, by API, or removed.
    #[must_use]
    pub fn draining(self) -> bool {
        self.0 & Self::DRAINING != 0
    }

    /// Whether probes say that it is up (or none are made).
    #[must_use]
    pub fn healthy(self) -> bool {
        self.0 & Self::UNHEALTHY == 0
    }

    /// Whether no voice speaks against a new request.
    pub(crate) fn clear(self) -> bool {
        self.0 == 0
    }

    /// Whether the only thing against it is that nobody knows it yet.
    pub(crate) fn only_unknown(self) -> bool {
        self.0 == Flag::Unknown.bit()
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Flag::ALL.into_iter().filter(|flag| self.has(*flag))).finish()
    }
}

impl Endpoint {
    /// An endpoint without flags or requests. `generation` is its upstream's.
    #[must_use]
    pub fn new(address: Address, generation: Generation) -> Arc<Self> {
        Arc::new(Self { address, generation, flags: AtomicU32::new(0), in_flight: Padded::default() })
    }

    /// Where it is, as written in the file.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Requests from pick to last body byte, of all workers. May be stale by the time it is read.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    /// Raises or lowers one flag; true when that changed it, and then every worker looks again before its next pick.
    pub fn set(&self, flag: Flag, up: bool) -> bool {
        let bit = flag.bit();
        let before = if up {
            self.flags.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.flags.fetch_and(!bit, Ordering::Relaxed)
        };
        let changed = (before & bit != 0) != up;
        if changed {
            // After the flag: whoever sees the new generation (Acquire) sees the flag.
            self.generation.bump();
        }
        changed
    }

    /// Whether this flag is up.
    #[must_use]
    pub fn has(&self, flag: Flag) -> bool {
        self.flags().has(flag)
    }

    /// All flags at this moment.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(self.flags.load(Ordering::Relaxed))
    }

    /// Whether it takes no new requests because someone wants it gone: by file, by API, or removed.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.flags().draining()
    }

    /// Whether probes say that it is up (or none are made): neither unhealthy nor unknown.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.flags().healthy()
    }

    /// Counts one request in, until the guard is dropped. Call it right after the pick: what has been chosen and not
    /// counted is invisible to the other workers.
    #[must_use = "the request counts as ended when this is dropped"]
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.0.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: Arc::clone(self) }
    }

    pub(crate) fn belongs_to(&self, generation: &Generation) -> bool {
        self.generation.is(generation)
    }
}

/// One request on its way to or from an endpoint. Dropping it counts the request out, on every path.
#[derive(Debug)]
#[must_use = "the request counts as ended when this is dropped"]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// Where the request went.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.endpoint.in_flight.0.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a request ended that never began");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(generation: &Generation) -> Arc<Endpoint> {
        Endpoint::new("10.0.0.1:80".parse().unwrap(), generation.clone())
    }

    #[test]
    fn a_flag_tells_the_workers_only_when_it_changes() {
        let generation = Generation::default();
        let endpoint = endpoint(&generation);
        for flag in Flag::ALL {
            let before = generation.current();
            assert!(!endpoint.set(flag, false));
            assert_eq!(generation.current(), before);
            assert!(endpoint.set(flag, true));
            assert!(!endpoint.set(flag, true));
            assert_eq!(generation.current(), before + 1);
            assert!(endpoint.has(flag));
            assert!(endpoint.set(flag, false));
            assert_eq!(generation.current(), before + 2);
        }
        assert_eq!(endpoint.flags(), Flags::default());
    }

    #[test]
    fn each_voice_clears_only_its_own_flag() {
        let endpoint = endpoint(&Generation::default());
        endpoint.set(Flag::DrainingByApi, true);
        endpoint.set(Flag::DrainingByFile, true);
        endpoint.set(Flag::DrainingByFile, false);
        assert!(endpoint.draining());
        assert!(endpoint.healthy());
        endpoint.set(Flag::Unknown, true);
        assert!(!endpoint.healthy());
        assert_eq!(format!("{:?}", endpoint.flags()), "{Unknown, DrainingByApi}");
    }

    #[test]
    fn a_request_is_counted_until_its_guard_is_dropped() {
        let endpoint = endpoint(&Generation::default());
        let first = endpoint.begin();
        let second = endpoint.begin();
        assert_eq!(endpoint.in_flight(), 2);
        drop(first);
        assert_eq!(second.endpoint().in_flight(), 1);
        drop(second);
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn the_count_shares_its_cache_lines_with_nothing() {
        let endpoint = endpoint(&Generation::default());
        let count = (&raw const endpoint.in_flight) as usize;
        let flags = (&raw const endpoint.flags) as usize;
        assert_eq!(count % 128, 0);
        assert!(flags.abs_diff(count) >= 64 && size_of::<Padded<AtomicUsize>>() == 128);
    }
}
