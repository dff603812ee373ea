#!/usr/bin/env python3
"""Calls of Python's grpcio through a running evenkeel, to a server of grpcio: all four kinds, errors, deadlines and pings.

    tests/peers/python_grpc.py target/debug/evenkeel

tests/grpc says the same with tonic; this is the implementation in C++ on which most other languages stand. Run by .ci/run. Needs grpcio and
openssl. Ends with "N passed, N failed", and with 1 if anything failed.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent import futures

import grpc

# For whatever should take no time at all.
SOON = 20

NAME = "test.Notes"


def echo(request, context):
    metadata = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata(metadata)
    context.set_trailing_metadata(metadata)
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, request.decode())


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def add(requests, context):
    return b"%d" % sum(int(request) for request in requests)


def chat(requests, context):
    yield from requests


class Held:
    """One message, then nothing until the call is cancelled."""

    def __init__(self):
        self.cancelled = threading.Semaphore(0)

    def __call__(self, request, context):
        over = threading.Event()
        context.add_callback(over.set)
        yield b"held"
        over.wait(60)
        self.cancelled.release()


def serve(held):
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Hold": grpc.unary_stream_rpc_method_handler(held),
    }
    # Several threads: a call that is held keeps one.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


CONFIG = """\
workers = 2
admin.listen = "127.0.0.1:0"
drain.grace = "0s"

[listeners.plain]
listen = "127.0.0.1:0"
protocol = "h2c"

[listeners.aging]
listen = "127.0.0.1:0"
protocol = "h2c"
connection_age_max = "200ms"

[listeners.secure]
listen = "127.0.0.1:0"
tls.certificates = [{{ cert = "site.pem", key = "site.key" }}]

[[routes]]
path_prefix = "/test.Notes"
upstream = "notes"

[upstreams.notes]
protocol = "h2c"
endpoints = ["127.0.0.1:{port}"]
"""


def start(binary, folder, port):
    make = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=localhost -addext".split()
    files = ["subjectAltName=DNS:localhost", "-keyout", "site.key", "-out", "site.pem"]
    subprocess.run(["openssl", *make, *files], cwd=folder, check=True, capture_output=True)
    with open(os.path.join(folder, "evenkeel.toml"), "w") as file:
        file.write(CONFIG.format(port=port))
    command = [os.path.abspath(binary), "run", "--config", "evenkeel.toml"]
    proxy = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    line = proxy.stdout.readline()
    if not line:
        sys.exit("evenkeel did not start")
    return proxy, json.loads(line)


def channel_to(listener, ready, folder, options=()):
    port = ready["listeners"][listener].rsplit(":", 1)[1]
    options = [("grpc.max_receive_message_length", -1), *options]
    if listener != "secure":
        return grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
    with open(os.path.join(folder, "site.pem"), "rb") as file:
        trusted = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(f"localhost:{port}", trusted, options=options)


def must(good, what):
    if not good:
        raise AssertionError(what)


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it should have failed")


def one_message_each_way(channel, _):
    metadata = (("x-words", "some words"), ("x-bytes-bin", b"\x00\n\xff"))
    answer, call = channel.unary_unary(f"/{NAME}/Echo").with_call(b"hello", metadata=metadata, timeout=SOON)
    must(answer == b"hello", answer)
    must(set(metadata) <= set(call.initial_metadata()), call.initial_metadata())
    must(set(metadata) <= set(call.trailing_metadata()), call.trailing_metadata())


def many_messages_down(channel, _):
    answers = list(channel.unary_stream(f"/{NAME}/Count")(b"5000", timeout=SOON))
    must(answers == [b"%d" % number for number in range(5000)], len(answers))


def many_messages_up(channel, _):
    requests = (b"%d" % number for number in range(5000))
    must(channel.stream_unary(f"/{NAME}/Add")(requests, timeout=SOON) == b"12497500", "another sum")


def a_talk_in_turn(channel, _):
    heard = threading.Semaphore(1)

    def say():
        for number in range(50):
            must(heard.acquire(timeout=SOON), "nothing is held back")
            yield b"%d" % number

    for number, answer in enumerate(channel.stream_stream(f"/{NAME}/Chat")(say(), timeout=SOON)):
        must(answer == b"%d" % number, answer)
        heard.release()
    must(number == 49, number)


def a_large_message(channel, _):
    large = os.urandom(12 << 20)
    must(channel.unary_unary(f"/{NAME}/Echo")(large, timeout=SOON) == large, "another message")


def an_error_of_the_server(channel, _):
    failed = code_of(lambda: channel.unary_unary(f"/{NAME}/Fail")("nöt here".encode(), timeout=SOON))
    must(failed == (grpc.StatusCode.NOT_FOUND, "nöt here"), failed)


def an_error_of_ours(channel, _):
    code, details = code_of(lambda: channel.unary_unary("/test.Others/Echo")(b"", timeout=SOON))
    must(code == grpc.StatusCode.UNIMPLEMENTED and details.startswith("no_route"), (code, details))


def a_deadline(channel, held):
    code, details = code_of(lambda: list(channel.unary_stream(f"/{NAME}/Hold")(b"", timeout=0.5)))
    must(code == grpc.StatusCode.DEADLINE_EXCEEDED, (code, details))
    must(held.cancelled.acquire(timeout=SOON), "the server's call goes on")


def a_client_that_cancels(channel, held):
    call = channel.unary_stream(f"/{NAME}/Hold")(b"")
    must(next(call) == b"held", "no message")
    call.cancel()
    must(held.cancelled.acquire(timeout=SOON), "the server's call goes on")


CALLS = [
    one_message_each_way,
    many_messages_down,
    many_messages_up,
    a_talk_in_turn,
    a_large_message,
    an_error_of_the_server,
    an_error_of_ours,
    a_deadline,
    a_client_that_cancels,
]


def pings(ready, folder, held):
    """A client that pings as often as its library lets it, beside a call that is silent."""
    eager = [("grpc.keepalive_time_ms", 200), ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
    with channel_to("plain", ready, folder, eager) as channel:
        call = channel.unary_stream(f"/{NAME}/Hold")(b"")
        must(next(call) == b"held", "no message")
        time.sleep(5)
        must(call.is_active(), call)
        one_message_each_way(channel, held)
        call.cancel()
        must(held.cancelled.acquire(timeout=SOON), "the server's call goes on")


def ages(ready, folder, held):
    """Connections that end every 200 ms, beside a talk that began on the first."""
    with channel_to("aging", ready, folder) as channel:
        call = channel.unary_stream(f"/{NAME}/Hold")(b"")
        must(next(call) == b"held", "no message")
        end = time.monotonic() + 3
        while time.monotonic() < end:
            one_message_each_way(channel, held)
        must(call.is_active(), call)
        call.cancel()
        must(held.cancelled.acquire(timeout=SOON), "the server's call goes on")
        must(metric(ready, "evenkeel_connections_total", 'listener="aging"') > 5, "the connections have not ended")


def metric(ready, name, label):
    page = urllib.request.urlopen(f"http://{ready['admin']}/metrics", timeout=SOON).read().decode()
    lines = [line for line in page.splitlines() if line.startswith(name + "{") and label in line]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)


def counted(ready):
    """Every call has ended, and was counted in its class."""
    classes = ("ok", "client_error", "server_error", "none")
    got = {label: metric(ready, "evenkeel_grpc_calls_total", f'class="{label}"') for label in classes}
    # For both listeners, and with the pings one more unary call and one more that is cancelled. At a deadline three watch the time: if it is
    # the server who ends the call first, it has a status.
    late = got["server_error"] - 2
    must(0 <= late <= 2, got)
    must(got == {"ok": 11, "client_error": 2, "server_error": 2 + late, "none": 5 - late}, got)


def main(binary):
    passed, failed = 0, 0

    def run(name, check, *arguments):
        nonlocal passed, failed
        try:
            check(*arguments)
            passed += 1
            print(f"{name}: good")
        except Exception as error:  # Whatever it was, the next ones are still worth knowing.
            failed += 1
            print(f"{name}: FAILED: {error!r}")

    held = Held()
    server, port = serve(held)
    with tempfile.TemporaryDirectory() as folder:
        proxy, ready = start(binary, folder, port)
        try:
            for listener in ("plain", "secure"):
                with channel_to(listener, ready, folder) as channel:
                    for call in CALLS:
                        run(f"{listener}: {call.__name__.replace('_', ' ')}", call, channel, held)
            run("plain: pings", pings, ready, folder, held)
            run("what was counted", counted, ready)
            run("aging: connections end, calls do not", ages, ready, folder, held)
        finally:
            proxy.terminate()
            if proxy.wait(timeout=SOON) != 0:
                failed += 1
                print(f"evenkeel ended with {proxy.returncode}")
            server.stop(None)
    print(f"{passed} passed, {failed} failed")
    return failed == 0 and passed > 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1]) else 1)
