"""Mode `start`: from making the process to the first answer of an endpoint through it, and what it then holds in memory."""

import time

from side_by_side.report import Spread, megabytes, say, table

# Between two attempts to get an answer: a connection refused costs less than this.
LOOK_SECONDS = 0.0002
# After the first answer, for whatever a program still does when it has begun to serve.
SETTLE_SECONDS = 0.3


def measure(bench, options):
    """`{peer: numbers}`."""
    bench.start_origins()
    seen = {name: [] for name in options.peers}
    for number in range(options.rounds):
        for name in options.peers:
            proxy = bench.start(name)
            proxy.wait(pause=LOOK_SECONDS)
            took = (time.monotonic() - proxy.running.since) * 1000
            time.sleep(SETTLE_SECONDS)
            seen[name].append((took, proxy.running.memory()))
            proxy.running.end()
            say(f"round {number + 1}  {name:<10} {took:6.1f} ms  {megabytes(seen[name][-1][1])} MB")
    return {"peers": {name: _numbers(bench, name, rounds) for name, rounds in seen.items()}}, []


def _numbers(bench, name, rounds):
    return {
        "version": bench.version(name),
        "first_answer_ms": Spread(took for took, _ in rounds).json(),
        "memory_bytes": Spread(memory for _, memory in rounds).json(),
    }


def tell(result):
    """The table."""
    print("From making the process to the first answer, milliseconds; resident memory then\n")
    rows = []
    for name, peer in result["peers"].items():
        took, memory = Spread(peer["first_answer_ms"]["rounds"]), peer["memory_bytes"]
        rows.append([f"{name} {peer['version']}", *took.told(), megabytes(memory["median"])])
    table(["", "min", "median", "max", "MB"], rows)
