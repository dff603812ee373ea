"""Mode `http`: HTTP/1.1 over kept connections, every peer with the same work. Later ways to load all peers stand beside it."""

from side_by_side.load import check_same_work, run_wrk
from side_by_side.peers import BODY
from side_by_side.report import Spread, megabytes, pairs, say, table
from side_by_side.rounds import Subject, interleave, quietness
from side_by_side.syscalls import per_request


def measure(bench, options):
    """The result as `{peer: numbers}`, everything that failed, and a word on the noise."""
    bench.start_origins()
    proxies = {name: bench.start(name) for name in options.peers}
    for proxy in proxies.values():
        proxy.wait()
    memory_at_start = {name: proxy.running.memory() for name, proxy in proxies.items()}
    for proxy in proxies.values():
        check_same_work(proxy, BODY)

    wrk = bench.program("wrk")
    rounds, faults = interleave([Subject(name, proxy, {}) for name, proxy in proxies.items()], wrk, options)
    base = next(name for name in ("haproxy", *options.peers) if name in proxies)
    result = {}
    for name, proxy in proxies.items():
        memory = {"start": memory_at_start[name], "loaded": proxy.running.memory()}
        ratio = pairs([one.cpu_us for one in rounds[name]], [one.cpu_us for one in rounds[base]])
        result[name] = {"version": bench.version(name), **_numbers(rounds[name]), f"to_{base}": ratio.json(), "memory_bytes": memory}
    for name, proxy in proxies.items():
        result[name]["system_calls"] = _system_calls(proxy, wrk, options, bench, faults)
    return {"base": base, "peers": result, "noise": quietness(rounds)}, faults


def _numbers(rounds):
    return {
        "cpu_us": Spread(one.cpu_us for one in rounds).json(),
        "user_us": Spread(one.user_us for one in rounds).json(),
        "requests_per_second": Spread(one.per_second for one in rounds).json(),
        "p50_ms": Spread(one.load.p50_ms for one in rounds).json(),
        "p99_ms": Spread(one.load.p99_ms for one in rounds).json(),
    }


def _system_calls(proxy, wrk, options, bench, faults):
    say(f"counting system calls of {proxy.name}")
    calls = per_request(proxy, lambda seconds: run_wrk(wrk, proxy.port, options.connections, seconds), bench.folder)
    if not calls:
        say("  not counted: strace is not installed, or may not look")
        return None
    faults += [f"{proxy.name}, under strace: {fault}" for fault in calls.faults]
    return {"send_receive": calls.send_receive, "all": calls.all}


def tell(result):
    """The table."""
    base = result["base"]
    print("CPU of the proxy for a request, microseconds; the ratio is the median of the rounds, pair by pair\n")
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
        rows.append([name, f"{peer['requests_per_second']['median']:.0f}", f"{peer['p50_ms']['median']:.2f}",
                     f"{peer['p99_ms']['median']:.2f}", megabytes(memory["start"]), megabytes(memory["loaded"]),
                     f"{calls['send_receive']:.2f}" if calls else "-", f"{calls['all']:.2f}" if calls else "-"])
    table(["", "requests/s", "p50 ms", "p99 ms", "MB at start", "MB loaded", "send+recv/request", "all calls/request"], rows)
    print(f"\n{result['noise']}")
