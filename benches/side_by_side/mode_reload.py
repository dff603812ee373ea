"""Mode `reload`: from saving a file with 10 000 endpoints in 100 upstreams, one of them changed, to its effect.

Two effects are timed: the admin API shows the new file's hash, and the next request is answered by the new file (a
fixed answer in it carries the number of the round). The debounce of the file's watcher is part of both.
"""

import http.client
import os
import time

from side_by_side.load import ask, ask_json
from side_by_side.processes import Broken, until
from side_by_side.report import Spread, megabytes, say, table

UPSTREAMS, ENDPOINTS_EACH = 100, 100
# Between two looks. Looking without pause would take time from the thread that reloads.
LOOK_SECONDS = 0.002


def measure(bench, options):
    """Milliseconds to both effects for each round."""
    bench.start_origins()
    proxy = bench.start("evenkeel", routes=_routes(0))
    proxy.wait()
    admin = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append(_reload(proxy, admin, number))
        say("round {}  admin API {:.1f} ms, traffic {:.1f} ms".format(number, *rounds[-1]))
    return {
        "version": bench.version("evenkeel"),
        "admin_ms": Spread(admin_ms for admin_ms, _ in rounds).json(),
        "traffic_ms": Spread(traffic_ms for _, traffic_ms in rounds).json(),
        "memory_bytes": proxy.running.memory(),
    }, []


def _reload(proxy, admin, number):
    before = ask_json(admin, "/api/config")["hash"]
    changed = proxy.file.read_text().replace(_routes(number - 1), _routes(number))
    beside = proxy.file.with_suffix(".new")
    beside.write_text(changed)

    saved = time.monotonic()
    os.replace(beside, proxy.file)

    def shown():
        config = ask_json(admin, "/api/config")
        if config["last_reload"] and not config["last_reload"]["successful"]:
            raise Broken(f"the reload was refused: {config['last_reload']['problems']}")
        return config["hash"] != before

    until("the new file in /api/config", shown, pause=LOOK_SECONDS)
    admin_ms = (time.monotonic() - saved) * 1000
    until("an answer by the new file", lambda: ask(proxy.port, "/round")[1] == str(number).encode(), pause=LOOK_SECONDS)
    return admin_ms, (time.monotonic() - saved) * 1000


def _routes(number):
    """The routes and upstreams of one round; only the last upstream's last endpoint and the fixed answer differ from another's."""
    parts = [f'[[routes]]\npath = "/round"\nfilters = [{{ fixed_response = {{ body = "{number}" }} }}]']
    for upstream in range(UPSTREAMS):
        addresses = [f"127.{upstream + 1}.1.{endpoint + 1}:8080" for endpoint in range(ENDPOINTS_EACH)]
        if upstream == UPSTREAMS - 1:
            addresses[-1] = f"127.{upstream + 1}.1.{ENDPOINTS_EACH}:{9000 + number}"
        listed = ", ".join(f'"{address}"' for address in addresses)
        parts.append(f'[[routes]]\npath_prefix = "/u{upstream}/"\nupstream = "u{upstream}"\n\n'
                     f"[upstreams.u{upstream}]\nendpoints = [{listed}]")
    return "\n\n".join([*parts, '[[routes]]\nupstream = "site"'])


def tell(result):
    """The table."""
    print(f"evenkeel {result['version']}: from saving {UPSTREAMS * ENDPOINTS_EACH} endpoints in {UPSTREAMS} upstreams,"
          " one changed, to the effect, milliseconds\n")
    table(["seen in", "min", "median", "max"], [
        ["admin API", *Spread(result["admin_ms"]["rounds"]).told()],
        ["traffic", *Spread(result["traffic_ms"]["rounds"]).told()],
    ])
    print(f"\nresident at the end: {megabytes(result['memory_bytes'])} MB")
