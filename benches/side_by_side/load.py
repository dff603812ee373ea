"""Requests: the load (wrk), single questions, and the check that every proxy does the same work.

A measurement in which one request failed measures something else; `Load.faults` says so and the caller must look at it.
"""

import http.client
import json
import re
import ssl
import subprocess
from typing import NamedTuple

from side_by_side.processes import Broken

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Load(NamedTuple):
    """What wrk saw."""

    requests: int
    # Of wrk's own clock, not of the one that was asked for.
    seconds: float
    # None where the program does not tell.
    p50_ms: float
    p99_ms: float
    # Failed connections, reads, writes, timeouts, statuses that are not 2xx or 3xx, in wrk's words. Empty is good.
    faults: list


def run_wrk(program, port, connections, seconds, path="/", host=None, script=None, scheme="http"):
    """Loads one proxy from kept connections; wrk runs where this script runs."""
    command = [program, "--latency", "--timeout", "10s", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["-H", f"Host: {host}"] if host else []
    command += ["-s", str(script)] if script else []
    done = subprocess.run([*command, f"{scheme}://127.0.0.1:{port}{path}"], capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode != 0:
        raise Broken(f"wrk failed:\n{done.stdout}{done.stderr}")
    return _read(done.stdout)


def _read(text):
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text)
    percentile = {p: (value, unit) for p, value, unit in re.findall(r"^ +(50|99)% +([\d.]+)(us|ms|s|m) *$", text, re.M)}
    if not total or len(percentile) != 2 or total.group(1) == "0":
        raise Broken(f"wrk counted no answers:\n{text}")
    p50, p99 = (float(value) * _UNITS[unit] for value, unit in (percentile["50"], percentile["99"]))
    seconds = float(total.group(2)) * _UNITS[total.group(3)] / 1000
    faults = [line.strip() for line in text.splitlines() if re.match(r" *(Socket errors|Non-2xx)", line)]
    return Load(int(total.group(1)), seconds, p50, p99, faults)


def connect(port, scheme="http"):
    """A connection that is kept. Whose certificate it is does not matter here."""
    if scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())


def ask(port, path="/", host=None, kept=None, scheme="http"):
    """One request: its status and body. With `kept`, over that connection."""
    connection = kept or connect(port, scheme)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    body = answer.read()
    if not kept:
        connection.close()
    return answer.status, body


def answers(port, path="/", host=None, scheme="http"):
    """Whether it answers with 200 by now."""
    try:
        return ask(port, path, host, scheme=scheme)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def ask_json(kept, path):
    """What an admin listener says."""
    status, body = ask(kept.port, path, kept=kept)
    if status != 200:
        raise Broken(f"{path} was answered with {status}: {body[:200]}")
    return json.loads(body)


def ask_h2(port, path="/"):
    """One request over HTTP/2 without TLS, by curl: its status and body."""
    command = ["curl", "-s", "--http2-prior-knowledge", "-w", "\n%{http_code}", f"http://127.0.0.1:{port}{path}"]
    told = subprocess.run(command, capture_output=True, timeout=20).stdout
    body, _, status = told.rpartition(b"\n")
    return int(status or 0), body


def ask_h2_answers(port):
    """Whether it answers over HTTP/2 with 200 by now."""
    return ask_h2(port)[0] == 200


def check_same_work(proxy, body, front="http", scheme="http"):
    """Raises unless the proxy passes the body on, says who asked in the four agreed fields, and keeps its connections."""
    kept = connect(proxy.port, scheme)
    question = ask_h2 if front == "h2" else lambda port, path="/": ask(port, path, kept=kept)
    status, got = question(proxy.port)
    if (status, got.decode()) != (200, body):
        raise Broken(f"{proxy.name} answers {status} with {len(got)} bytes, not 200 with {len(body)}")
    carried = 0
    for _ in range(16):
        _, seen = question(proxy.port, "/seen")
        client, proto, host, via, requests = seen.decode().split("|")
        told = (client, proto, host) == ("127.0.0.1", scheme, f"127.0.0.1:{proxy.port}") and via.startswith(("1.1 ", "2.0 ", "2 "))
        if front != "tcp" and not told:
            raise Broken(f"{proxy.name} does not say who asked as the others do: {seen.decode()}")
        carried = max(carried, int(requests))
    kept.close()
    if carried < 2:
        raise Broken(f"{proxy.name} opens a connection to its endpoint for every request")
