"""Interleaved rounds under load (A B C A B C ...) and what each one cost: the heart of the modes `http` and `routes`."""

import time
from typing import NamedTuple

from side_by_side.processes import Meter
from side_by_side.report import say

# Above this share of a round, somebody else used the proxy's core: caches were cold, and the round is worth little.
DISTURBED = 0.03
WARM_UP_SECONDS = 2
# After the load has gone, for the proxy to close its connections within the round that opened them.
SETTLE_SECONDS = 0.1


class Round(NamedTuple):
    """One proxy, once, under load."""

    load: object
    # Processor time of the proxy for a request, user and system, all threads and children.
    cpu_us: float
    # Of that, outside the kernel.
    user_us: float
    # Share of the round in which the proxy ran: near 1, it was the bottleneck, as it should be.
    busy: float
    # Share of the round in which it could have run but somebody else had its core.
    waited: float

    @property
    def per_second(self):
        """Requests."""
        return self.load.requests / self.load.seconds


class Subject(NamedTuple):
    """A proxy and how to load it; the same proxy may be loaded in several ways."""

    label: str
    proxy: object
    # What is special about it: path, host, script.
    how: dict


def interleave(subjects, load, options):
    """Warms all up, then measures: `{label: [Round, ...]}` and everything that failed. `load(proxy, seconds, **how)`."""
    rounds, faults = {subject.label: [] for subject in subjects}, []
    for subject in subjects:
        say(f"warming up {subject.label}")
        seen = _load(subject, load, min(WARM_UP_SECONDS, options.seconds))
        faults += [f"{subject.label}, warming up: {fault}" for fault in seen.faults]
    for number in range(1, options.rounds + 1):
        for subject in subjects:
            one = _measure(subject, load, options.seconds)
            rounds[subject.label].append(one)
            faults += [f"{subject.label}, round {number}: {fault}" for fault in one.load.faults]
            disturbed = f"  DISTURBED: others had its core for {one.waited:.0%}" if one.waited > DISTURBED else ""
            say(f"round {number}  {subject.label:<24} {one.cpu_us:6.2f} us  {one.per_second:7.0f}/s  busy {one.busy:.0%}{disturbed}")
    return rounds, faults


def _measure(subject, load, seconds):
    meter, begin = Meter(subject.proxy.running), time.monotonic()
    seen = _load(subject, load, seconds)
    time.sleep(SETTLE_SECONDS)
    used, took = meter.read(), (time.monotonic() - begin) * 1e9
    cpu_us, user_us = (time / 1000 / seen.requests for time in (used.running, used.user))
    return Round(seen, cpu_us, user_us, used.running / took, used.waiting / took)


def _load(subject, load, seconds):
    try:
        return load(subject.proxy, seconds, **subject.how)
    finally:
        # If it is gone, that is the news, not what wrk says of it.
        subject.proxy.running.check()


def quietness(rounds):
    """One line on how far the numbers can be trusted."""
    everything = [one for of_label in rounds.values() for one in of_label]
    disturbed = sum(one.waited > DISTURBED for one in everything)
    idle = sum(one.busy + one.waited < 0.9 for one in everything)
    if disturbed:
        return f"NOISY: in {disturbed} of {len(everything)} rounds others used the proxy's core; repeat on a quiet machine."
    if idle:
        return f"In {idle} of {len(everything)} rounds the proxy was not the bottleneck: compare CPU, not requests a second."
    return "Quiet: the proxy had its core to itself and kept it busy."
