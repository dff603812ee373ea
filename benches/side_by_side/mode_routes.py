"""Mode `routes`: what 10 000 routes cost a request that 10 do not. Each route has a host and a path prefix of its own.

Measured twice. *One* asks always for the last route in the file: the cost of finding a route. *Each* asks for all routes
in turn: also the cost of touching ten thousand routes' worth of memory, which any program that counts per route has.
"""

from side_by_side.load import answers, ask, run_wrk
from side_by_side.processes import Broken
from side_by_side.report import Spread, megabytes, pairs, table
from side_by_side.rounds import Subject, interleave, quietness

FEW, MANY = 10, 10_000

# Asks for every route once before it asks for one again, not in the file's order: 7919 is prime to both counts.
IN_TURN = """local count, next, requests = {count}, 0, {{}}
function init()
  for i = 0, count - 1 do
    requests[i] = wrk.format("GET", "/p" .. i .. "/x", {{ Host = "h" .. i .. ".example.test" }})
  end
end
function request()
  next = (next + 7919) % count
  return requests[next]
end
"""


def measure(bench, options):
    """Processor time for a request with few and with many routes, and everything that failed."""
    bench.start_origins()
    proxies = {count: bench.start("evenkeel", f"evenkeel-{count}", routes=_routes(count)) for count in (FEW, MANY)}
    for count, proxy in proxies.items():
        _check(proxy, count)
    subjects = [Subject(f"one of {count}", proxy, _one(count)) for count, proxy in proxies.items()]
    subjects += [Subject(f"each of {count}", proxy, _each(count, bench.folder)) for count, proxy in proxies.items()]
    wrk = bench.program("wrk")

    def load(proxy, seconds, **how):
        return run_wrk(wrk, proxy.port, options.connections, seconds, **how)

    rounds, faults = interleave(subjects, load, options)
    cpu = {label: [one.cpu_us for one in of_label] for label, of_label in rounds.items()}
    return {
        "version": bench.version("evenkeel"),
        "cpu_us": {label: Spread(values).json() for label, values in cpu.items()},
        "ratio": {ask: pairs(cpu[f"{ask} of {MANY}"], cpu[f"{ask} of {FEW}"]).json() for ask in ("one", "each")},
        "memory_bytes": {str(count): proxy.running.memory() for count, proxy in proxies.items()},
        "noise": quietness(rounds),
    }, faults


def _routes(count):
    return "\n\n".join(
        f'[[routes]]\nhosts = ["h{n}.example.test"]\npath_prefix = "/p{n}/"\nupstream = "site"' for n in range(count))


def _one(count):
    return {"host": f"h{count - 1}.example.test", "path": f"/p{count - 1}/x"}


def _each(count, folder):
    script = folder / f"each-of-{count}.lua"
    script.write_text(IN_TURN.format(count=count))
    return {"script": script}


def _check(proxy, count):
    """The last route is found, and nothing is found that is not there: or the work that is measured is not routing."""
    proxy.wait(lambda port: answers(port, **_one(count)))
    stranger = ask(proxy.port, **_one(count + 1))[0]
    if stranger != 404:
        raise Broken(f"with {count} routes an unknown one is answered {stranger}, not 404")


def tell(result):
    """The table."""
    print(f"evenkeel {result['version']}: CPU for a request, microseconds, with {FEW} and with {MANY} routes\n")
    rows = [[label, *Spread(cpu["rounds"]).told(2)] for label, cpu in result["cpu_us"].items()]
    table(["asked for", "min", "median", "max"], rows)
    print()
    rows = [[label, *Spread(ratio["rounds"]).told(3)] for label, ratio in result["ratio"].items()]
    table([f"{MANY} to {FEW}", "min", "median", "max"], rows)
    few, many = (megabytes(result["memory_bytes"][str(count)]) for count in (FEW, MANY))
    print(f"\nresident after the load: {few} MB with {FEW} routes, {many} MB with {MANY}")
    print(result["noise"])
