#!/usr/bin/env python3
"""Measures Evenkeel beside the proxies that are installed here (HAProxy, nginx), on two cores of one machine.

    cargo build --release
    benches/side_by_side.py                     CPU for a request, requests a second, latency, memory, system calls
    benches/side_by_side.py --mode tls          the same over TLS; handshake: a new connection with a full handshake for each request;
                                                h2: HTTP/2 without TLS; large: a megabyte for each answer; tcp: the same through a
                                                TCP listener
    benches/side_by_side.py --mode storm        requests over kept connections while a thousand TLS handshakes are in flight
    benches/side_by_side.py --mode start        from making the process to its first answer, and memory then
    benches/side_by_side.py --mode routes       a request among 10 000 routes against one among 10
    benches/side_by_side.py --mode reload       from saving a file with 10 000 endpoints to its effect

The proxy has one core and one thread; four endpoints (an nginx), the load (wrk) and this script share another. All
peers run at once, and only one is loaded at a time, in turns: A B C A B C. Everything stays on loopback, on free
ports, in a temporary folder, and ends with this script.

How to read it. The first number is the CPU of the proxy for a request: user and system time of all its threads and
children, from /proc, divided by the answers that wrk counted. It is what a machine full of traffic has to pay, and it
depends least on the rest of the machine. Compare the ratio, taken round by round, rather than microseconds of two
days. Requests a second follow from it while the proxy is busy; latency under full load is mostly the queue of the
connections. Rounds marked DISTURBED had company on their core: repeat them when the machine is quiet.

Exit status: 0 when the numbers count, 1 when they do not (a request failed, or the run broke off), 2 when something
is missing. More in side_by_side/README.md.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # nothing of a measurement stays in the checkout

from side_by_side import mode_http, mode_reload, mode_routes, mode_start, mode_storm
from side_by_side.fronts import FRONTS
from side_by_side.peers import PEERS, REPOSITORY, Bench, Cores
from side_by_side.processes import Broken, end_with_us, end_all
from side_by_side.report import say, shout

# Each measures and tells. A new way to load all peers is a front.
MODES = {**dict.fromkeys(FRONTS, mode_http), "start": mode_start, "routes": mode_routes, "reload": mode_reload, "storm": mode_storm}
WITHOUT_PEERS = ("routes", "reload")


def main():
    """Looks for what is needed, measures, tells, cleans up."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder:
        os.chmod(folder, 0o755)  # nginx's worker is another user when its master is root
        bench = Bench(folder, options.cores, options.binary)
        if missing := look_around(bench, options):
            say("\n".join(missing))
            return 2
        os.sched_setaffinity(0, {options.cores.load})
        end_with_us(seconds_at_most(options))
        try:
            result, faults = MODES[options.mode].measure(bench, options)
        except Broken as broken:
            say(f"broke off: {broken}")
            return 1
        finally:
            end_all()
    tell(result, faults, options)
    return 1 if faults else 0


def read_options():
    """The command line."""
    first, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, default="http")
    parser.add_argument("--rounds", type=int, default=5, help="of each peer (5)")
    parser.add_argument("--seconds", type=int, default=4, help="of load in a round (4)")
    parser.add_argument("--connections", type=int, default=64, help="kept open by the load (64)")
    parser.add_argument("--handshakes", type=int, default=1000, help="in flight, with --mode storm (1000)")
    parser.add_argument("--peers", default=",".join(PEERS), help="which, in this order (%(default)s)")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/evenkeel", help="of evenkeel (target/release/evenkeel)")
    parser.add_argument("--cores", default=None, metavar="PROXY,LOAD", help="two cores (the first two that may be used)")
    parser.add_argument("--json", action="store_true", help="print the result, every round included, as JSON")
    options = parser.parse_args()
    if min(options.rounds, options.seconds, options.connections, options.handshakes) < 1:
        parser.error("--rounds, --seconds, --connections and --handshakes are at least 1")
    options.peers = options.peers.split(",")
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"unknown peer {unknown[0]}: there are {', '.join(PEERS)}")
    may_use = sorted(os.sched_getaffinity(0))
    cores = [int(core) for core in options.cores.split(",")] if options.cores else may_use[:2]
    if len(set(cores)) != 2 or not set(cores) <= set(may_use):
        parser.error(f"two different cores are needed, one for the proxy and one for the load; this may use {may_use}")
    options.cores = Cores(*cores)
    options.binary = options.binary.resolve()
    return options


def look_around(bench, options):
    """What is missing; a peer that is not installed is left out aloud."""
    missing = []
    program, package = FRONTS[options.mode].program if options.mode in FRONTS else ("wrk", "wrk")
    needed = {"nginx": ("plays the endpoints", "nginx-light"), program: ("makes the load", package)}
    for name, (role, package) in needed.items():
        if not bench.program(name):
            missing.append(f"{name} is not installed: it {role}. On Debian: apt-get install {package}")
    if options.mode in WITHOUT_PEERS:
        options.peers = ["evenkeel"]
    if "evenkeel" in options.peers and not bench.program("evenkeel"):
        missing.append(f"{options.binary} is not there: cargo build --release, or --binary")
    absent = [name for name in options.peers if not bench.program(name)]
    options.peers = [name for name in options.peers if name not in absent]
    if not missing and absent:
        say(f"not installed, so left out: {', '.join(absent)}")
    if not missing and not options.peers:
        missing.append("none of the peers is installed")
    return missing


def seconds_at_most(options):
    """Twice what it should take, and two minutes for slow starts."""
    return 120 + 2 * (options.rounds + 2) * (options.seconds + 2) * max(4, len(options.peers))


def tell(result, faults, options):
    """On standard output the result, on standard error that it is worth nothing."""
    if options.json:
        machine = {"kernel": os.uname().release, "cores": options.cores._asdict()}
        asked = {name: getattr(options, name) for name in ("mode", "rounds", "seconds", "connections")}
        print(json.dumps({"valid": not faults, "faults": faults, "options": asked, "machine": machine, **result}, indent=2))
    else:
        MODES[options.mode].tell(result)
    if faults:
        shout(faults)


if __name__ == "__main__":
    sys.exit(main())
