"""System calls that a proxy makes for a request, counted by strace in a short round of its own.

strace makes every call many times slower, so nothing else is measured meanwhile. A short and a longer round are counted,
and the longer one's surplus of calls divided by its surplus of answers: what opens and closes the connections of a round
is in both, and cancels out.
"""

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from side_by_side.processes import Broken, until

# All that can move a byte between a socket and a program. 4 for a request is the least a proxy can do: two in, two out.
SEND_AND_RECEIVE = {"read", "readv", "recvfrom", "recvmsg", "recv", "write", "writev", "sendto", "sendmsg", "send", "sendfile", "splice"}


# Seconds of load.
SHORT, LONG = 1, 4


class Calls(NamedTuple):
    """For a request."""

    send_receive: float
    all: float
    faults: list


def per_request(proxy, load, folder):
    """What the proxy calls under `load(seconds)`; None without strace."""
    short, long = (_count(proxy, lambda seconds=seconds: load(seconds), folder) for seconds in (SHORT, LONG))
    if not short or not long:
        return None
    requests = long[2].requests - short[2].requests
    if requests < 1:
        raise Broken(f"{proxy.name} answered less in {LONG} s under strace than in {SHORT} s")
    return Calls((long[0] - short[0]) / requests, (long[1] - short[1]) / requests, short[2].faults + long[2].faults)


def _count(proxy, load, folder):
    """`(send and receive calls, all calls, the load)`."""
    program = shutil.which("strace")
    if not program:
        return None
    out = Path(folder) / f"{proxy.name}.strace"
    pids = [word for pid in proxy.running.pids() for word in ("-p", str(pid))]
    strace = subprocess.Popen([program, "-c", "-f", "-o", str(out), *pids], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("strace holds the proxy", lambda: strace.poll() is not None or _traced(proxy), seconds=10)
        if strace.poll() is not None:
            return None
        seen = load()
    finally:
        strace.send_signal(signal.SIGINT)
        try:
            strace.wait(timeout=10)
        except subprocess.TimeoutExpired as stuck:
            strace.kill()
            raise Broken("strace does not end") from stuck
    calls = _read(out.read_text())
    return sum(n for name, n in calls.items() if name in SEND_AND_RECEIVE), sum(calls.values()), seen


def _traced(proxy):
    statuses = [thread / "status" for thread in proxy.running.threads()]
    return all("TracerPid:\t0\n" not in status.read_text() for status in statuses)


def _read(table):
    """`  0.12    0.000123           1      4567        89 recvfrom`: the errors may be missing."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", table, re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}
