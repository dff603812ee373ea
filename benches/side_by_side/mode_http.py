"""Modes `http`, `tls`, `handshake`, `h2` and `tcp`: every peer with the same work, behind the front of that name."""

from side_by_side.fronts import FRONTS, certificate
from side_by_side.load import answers, ask_h2_answers, check_same_work
from side_by_side.peers import BODY
from side_by_side.report import Spread, megabytes, pairs, say, table
from side_by_side.rounds import Subject, interleave, quietness
from side_by_side.syscalls import per_request


def measure(bench, options):
    """The result as `{peer: numbers}`, everything that failed, and a word on the noise."""
    front = FRONTS[options.mode]
    bench.start_origins()
    names = [name for name in options.peers if name in front.said]
    files = certificate(bench.folder) if front.scheme == "https" else {}
    proxies = {name: bench.start(name, front=front, files=files) for name in names}
    for proxy in proxies.values():
        proxy.wait(ask_h2_answers if front.name == "h2" else lambda port: answers(port, scheme=front.scheme))
    memory_at_start = {name: proxy.running.memory() for name, proxy in proxies.items()}
    for proxy in proxies.values():
        check_same_work(proxy, BODY, front.name, front.scheme)

    program = bench.program(front.program[0])

    def load(proxy, seconds, **how):
        return front.load(program, proxy, options, seconds, **how)

    rounds, faults = interleave([Subject(name, proxy, {}) for name, proxy in proxies.items()], load, options)
    base = next(name for name in (front.base, *names) if name in proxies)
    result = {}
    for name, proxy in proxies.items():
        memory = {"start": memory_at_start[name], "loaded": proxy.running.memory()}
        ratio = pairs([one.cpu_us for one in rounds[name]], [one.cpu_us for one in rounds[base]])
        result[name] = {"version": bench.version(name), **_numbers(rounds[name]), f"to_{base}": ratio.json(), "memory_bytes": memory}
    for name, proxy in proxies.items():
        result[name]["system_calls"] = _system_calls(proxy, load, bench, faults)
    return {"unit": front.unit, "base": base, "peers": result, "noise": quietness(rounds)}, faults


def _numbers(rounds):
    told = all(one.load.p50_ms is not None for one in rounds)
    return {
        "cpu_us": Spread(one.cpu_us for one in rounds).json(),
        "user_us": Spread(one.user_us for one in rounds).json(),
        "requests_per_second": Spread(one.per_second for one in rounds).json(),
        "p50_ms": Spread(one.load.p50_ms for one in rounds).json() if told else None,
        "p99_ms": Spread(one.load.p99_ms for one in rounds).json() if told else None,
    }


def _system_calls(proxy, load, bench, faults):
    say(f"counting system calls of {proxy.name}")
    calls = per_request(proxy, lambda seconds: load(proxy, seconds), bench.folder)
    if not calls:
        say("  not counted: strace is not installed, or may not look")
        return None
    faults += [f"{proxy.name}, under strace: {fault}" for fault in calls.faults]
    return {"send_receive": calls.send_receive, "all": calls.all}


def tell(result):
    """The table."""
    base, unit = result["base"], result["unit"]
    print(f"CPU of the proxy for a {unit}, microseconds; the ratio is the median of the rounds, pair by pair\n")
    rows = []
    for name, peer in result["peers"].items():
        ratio = peer[f"to_{base}"]
        rows.append([f"{name} {peer['version']}", *Spread(peer["cpu_us"]["rounds"]).told(2),
                     f"{peer['user_us']['median']:.1f}", *Spread(ratio["rounds"]).told(3)])
    table(["", "min", "median", "max", "of it user", f"min /{base}", "median", "max"], rows)
    print()
    rows = []
    for name, peer in result["peers"].items():
        memory, calls = peer["memory_bytes"], peer["system_calls"]
        p50, p99 = (f"{peer[p]['median']:.2f}" if peer[p] else "-" for p in ("p50_ms", "p99_ms"))
        rows.append([name, f"{peer['requests_per_second']['median']:.0f}", p50, p99, megabytes(memory["start"]), megabytes(memory["loaded"]),
                     f"{calls['send_receive']:.2f}" if calls else "-", f"{calls['all']:.2f}" if calls else "-"])
    table(["", f"{unit}s/s", "p50 ms", "p99 ms", "MB at start", "MB loaded", f"send+recv/{unit}", f"all calls/{unit}"], rows)
    print(f"\n{result['noise']}")
