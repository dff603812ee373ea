"""What clients speak to the proxies, and who speaks it: plain HTTP/1.1, TLS, a handshake for each request, HTTP/2, or bytes.

A front is what a mode differs in. What a template says of it stands here for all peers, side by side.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from side_by_side.load import Load, run_wrk
from side_by_side.processes import Broken

# Of HTTP/2: what a browser's or a mesh's peer keeps open, and as many streams as fill them.
H2_CONNECTIONS = 8
H2_STREAMS = 32


class Front(NamedTuple):
    """What clients speak."""

    name: str
    # The program that makes the load, and its package on Debian.
    program: tuple
    scheme: str
    # `load(program, proxy, options, seconds)`.
    load: object
    # What stands in the templates, for each peer.
    said: dict
    # Whether it is a peer's template of its own: `haproxy-tcp.cfg`.
    template: str = ""
    # What one unit of the load is called.
    unit: str = "request"
    # Against whom it is judged first.
    base: str = "haproxy"


def _wrk(scheme, path="/"):
    def load(program, proxy, options, seconds, **how):
        return run_wrk(program, proxy.port, options.connections, seconds, **{"scheme": scheme, "path": path, **how})

    return load


def _h2load(program, proxy, _options, seconds):
    command = [program, "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", "-D", str(seconds), f"http://127.0.0.1:{proxy.port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    took = re.search(r"finished in ([\d.]+)(s|ms)", done.stdout)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if done.returncode != 0 or not took or not counts or counts[2] == "0":
        raise Broken(f"h2load counted no answers:\n{done.stdout}{done.stderr}")
    faults = [counts[0]] if any(int(counts[n]) for n in (3, 4, 5)) else []
    # `time for request: min max mean sd`; it keeps no percentiles.
    return Load(int(counts[2]), float(took[1]) / (1000 if took[2] == "ms" else 1), None, None, faults)


def _s_time(program, proxy, _options, seconds):
    """Full handshakes one after the other, a request in each. `-new` never resumes."""
    command = [program, "s_time", "-connect", f"127.0.0.1:{proxy.port}", "-new", "-tls1_3", "-www", "/", "-time", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    told = re.search(r"(\d+) connections in (\d+) real seconds, (\d+) bytes read", done.stdout)
    if done.returncode != 0 or not told or told[1] == "0":
        raise Broken(f"openssl s_time counted no handshakes:\n{done.stdout}{done.stderr}")
    return Load(int(told[1]), float(told[2]), None, None, [])


def certificate(folder):
    """Key and self-signed certificate in one file: ECDSA P-256, good for a day."""
    folder, openssl = Path(folder), shutil.which("openssl")
    if not openssl:
        raise Broken("openssl is not installed: it makes the certificate. On Debian: apt-get install openssl")
    key, cert, both = (folder / name for name in ("site.key", "site.crt", "site.pem"))
    if not both.exists():
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
            check=True, capture_output=True, timeout=30)
        both.write_text(key.read_text() + cert.read_text())
    return {"key": key, "cert": cert, "pem": both}


_PLAIN = {"haproxy": {"bind": ""}, "nginx": {"listen": "", "tls": ""}, "evenkeel": {"front": ""}}
# The protocols are written out: nginx 1.22 does not offer TLS 1.3 by itself.
_TLS = {
    "haproxy": {"bind": " ssl crt {pem} alpn http/1.1"},
    "nginx": {"listen": " ssl", "tls": "ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:10m;"},
    "evenkeel": {"front": 'tls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}'},
}
# A thousand may come at once.
_STORM = {**_TLS, "nginx": {**_TLS["nginx"], "listen": " ssl backlog=4096"}, "haproxy": {"bind": _TLS["haproxy"]["bind"] + " backlog 4096"}}
_H2C = {"haproxy": {"bind": " proto h2"}, "nginx": {"listen": " http2", "tls": "http2_max_concurrent_streams 128; keepalive_requests 1000000000;"},
        "evenkeel": {"front": 'protocol = "h2c"'}}
_TCP = {"haproxy": {}, "evenkeel": {}}

FRONTS = {
    "http": Front("http", ("wrk", "wrk"), "http", _wrk("http"), _PLAIN),
    "tls": Front("tls", ("wrk", "wrk"), "https", _wrk("https"), _TLS, base="nginx"),
    "handshake": Front("handshake", ("openssl", "openssl"), "https", _s_time, _TLS, unit="handshake", base="nginx"),
    "storm": Front("storm", ("openssl", "openssl"), "https", None, _STORM, base="nginx"),
    "h2": Front("h2", ("h2load", "nghttp2-client"), "http", _h2load, _H2C),
    "large": Front("large", ("wrk", "wrk"), "http", _wrk("http", "/big"), _PLAIN, unit="megabyte"),
    "tcp": Front("tcp", ("wrk", "wrk"), "http", _wrk("http", "/big"), _TCP, template="-tcp", unit="megabyte"),
}
