"""Mode `storm`: how long requests over kept connections take while a thousand TLS handshakes are in flight.

Requests are sent at a fixed rate whatever becomes of those before, and timed from when they were due: whoever is held up cannot hide
it by asking less often. Clients, endpoints and storm share a core, where the storm has the least priority.
"""

import json
import selectors
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

from side_by_side.fronts import FRONTS, certificate
from side_by_side.load import answers, connect
from side_by_side.processes import Broken, go_first
from side_by_side.report import say, table

CONNECTIONS = 64
PER_SECOND = 1000
# After the first handshakes, for the queues to fill.
SETTLE_SECONDS = 1.0
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def measure(bench, options):
    """`{peer: numbers}`, and everything that failed."""
    bench.start_origins()
    files, faults, rounds = certificate(bench.folder), [], {name: [] for name in options.peers}
    for name in options.peers:
        proxy = bench.start(name, front=FRONTS["storm"], files=files)
        proxy.wait(lambda port: answers(port, scheme="https"))
        go_first()
        clients = Clients(proxy.port)
        for number in range(options.rounds):
            quiet = clients.ask(options.seconds)
            stormy, told = _in_a_storm(proxy, clients, options)
            faults += [f"{name}, round {number + 1}: {told['failed']} handshakes failed"] if told["failed"] else []
            rounds[name].append({"quiet": quiet, "storm": stormy, "handshakes_per_second": told["answered"] / told["seconds"], **told})
            say(f"round {number + 1}  {name:<10} quiet {_words(quiet)}  storm {_words(stormy)}  {told['answered'] / told['seconds']:.0f} handshakes/s")
        clients.close()
        proxy.running.end()
    return {"peers": {name: {"version": bench.version(name), "rounds": seen} for name, seen in rounds.items()}}, faults


def _in_a_storm(proxy, clients, options):
    command = [sys.executable, str(Path(__file__).parent / "storm.py"), str(proxy.port), str(options.handshakes)]
    begun = time.monotonic()
    storm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        clients.ask(SETTLE_SECONDS)
        seen = clients.ask(options.seconds)
        if storm.poll() is not None:
            raise Broken(f"the storm ended by itself, status {storm.returncode}")
        storm.send_signal(signal.SIGTERM)
        told = json.loads(storm.communicate(timeout=10)[0])
    finally:
        storm.kill()
        storm.wait()
    return seen, {**told, "seconds": time.monotonic() - begun}


class Clients:
    """Kept connections, over which requests are sent when they are due."""

    def __init__(self, port):
        self._free, self._selector = [], selectors.DefaultSelector()
        for _ in range(CONNECTIONS):
            kept = connect(port, "https")
            kept.connect()
            kept.sock.setblocking(False)
            self._free.append(kept.sock)

    def ask(self, seconds):
        """Milliseconds that requests took: their percentiles."""
        begin, took, due, sent = time.perf_counter(), [], {}, 0
        wanted = int(seconds * PER_SECOND)
        while len(took) < wanted:
            now = time.perf_counter()
            while sent < wanted and self._free and begin + sent / PER_SECOND <= now:
                socket = self._free.pop(0)
                due[socket] = begin + sent / PER_SECOND
                socket.send(REQUEST)
                self._selector.register(socket, selectors.EVENT_READ, bytearray())
                sent += 1
            wait = begin + sent / PER_SECOND - time.perf_counter() if sent < wanted and self._free else 10
            events = self._selector.select(max(0, wait))
            if not events and wait >= 10:
                raise Broken("a request was not answered in ten seconds")
            for key, _ in events:
                if self._read(key.fileobj, key.data):
                    took.append((time.perf_counter() - due.pop(key.fileobj)) * 1000)
                    self._selector.unregister(key.fileobj)
                    self._free.append(key.fileobj)
        return _percentiles(took)

    def _read(self, socket, data):
        """Whether the answer is whole by now."""
        try:
            while part := socket.recv(65536):
                data += part
        except ssl.SSLWantReadError:
            head, end, body = bytes(data).partition(b"\r\n\r\n")
            if not end:
                return False
            if not head.startswith(b"HTTP/1.1 200"):
                raise Broken(f"an answer begins with {head[:60]}") from None
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return len(body) >= length
        raise Broken("a kept connection was closed")

    def close(self):
        """Ends all connections."""
        for socket in self._free:
            socket.close()


def _percentiles(took):
    took.sort()
    at = {name: took[min(len(took) - 1, int(len(took) * share))] for name, share in PERCENTILES.items()}
    return {**at, "max": took[-1], "requests": len(took)}


def _words(seen):
    return " ".join(f"{name} {seen[name]:.2f}" for name in (*PERCENTILES, "max")) + " ms"


def tell(result):
    """The table: of each peer the round with the best p99.9, for other processes make a machine slower, never faster."""
    print("Requests over kept connections, milliseconds; in a storm of TLS handshakes, and without\n")
    rows = []
    for peer_name, peer in result["peers"].items():
        best = min(peer["rounds"], key=lambda one: one["storm"]["p99.9"])
        for kind in ("quiet", "storm"):
            seen = best[kind]
            rate = f"{best['handshakes_per_second']:.0f}" if kind == "storm" else "-"
            rows.append([f"{peer_name} {peer['version']}, {kind}", *(f"{seen[name]:.2f}" for name in (*PERCENTILES, "max")), rate])
    table(["", "p50", "p99", "p99.9", "max", "handshakes/s"], rows)
