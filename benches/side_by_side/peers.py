"""The programs that are compared, and the endpoints behind them: where they are, how they are told, how they are started.

A new peer is one more entry of `PEERS` and a template. What the templates say must be the same for all of them: see README.md.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from side_by_side.fronts import FRONTS
from side_by_side.load import answers
from side_by_side.processes import Broken, Running, free_port, until

TEMPLATES = Path(__file__).parent / "templates"
REPOSITORY = Path(__file__).parents[2]
ENDPOINTS = 4
BODY = "0123456789abcdef" * 8
# Bytes of `/big`.
BIG = 1_000_000


class Kind(NamedTuple):
    """How to treat a peer."""

    template: str
    # One endpoint in its file, and what stands between two.
    endpoint: str
    between: str
    version: list
    run: list


PEERS = {
    "haproxy": Kind("haproxy.cfg", "    server s{n} 127.0.0.1:{port}", "\n", ["-v"], ["-db", "-f", "{file}"]),
    "nginx": Kind("nginx.conf", "        server 127.0.0.1:{port};", "\n", ["-v"], ["-e", "stderr", "-p", "{folder}", "-c", "{file}"]),
    "evenkeel": Kind("evenkeel.toml", '"127.0.0.1:{port}"', ", ", ["--version"], ["run", "--config", "{file}"]),
}


class Cores(NamedTuple):
    """The proxy has one to itself; load, endpoints and this script share the other."""

    proxy: int
    load: int


class Proxy:
    """A peer that runs."""

    def __init__(self, running, port, admin_port, file):
        self.running, self.port, self.admin_port, self.file = running, port, admin_port, file
        self.name = running.name

    def wait(self, answered=answers, pause=0.001):
        """Until it serves; `answered` gets its port and says so, and is asked after each pause, in seconds."""

        def ready():
            self.running.check()
            return answered(self.port)

        until(f"{self.name} answers", ready, pause=pause)


class Bench:
    """What is installed, where it runs, and a folder for what is written meanwhile."""

    def __init__(self, folder, cores, binary):
        self.folder, self.cores = Path(folder), cores
        self._binary = binary
        self.origin_ports = []

    def program(self, name):
        """Its path, or None when it is not installed."""
        if name != "evenkeel":
            return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        return str(self._binary) if self._binary.is_file() else None

    def version(self, name):
        """One short line."""
        told = subprocess.run([self.program(name), *PEERS[name].version], capture_output=True, text=True, timeout=10)
        line = (told.stdout + told.stderr).splitlines()[0]
        number = re.search(r"\d+\.\d+[\w.+~-]*( \([0-9a-f]+\))?", line)
        debug = " DEBUG BUILD" if "/debug/" in self.program(name) else ""
        return (number.group() if number else line) + debug

    def start_origins(self):
        """The endpoints, on the core of the load."""
        folder = self._folder("origin")
        self.origin_ports = [free_port() for _ in range(ENDPOINTS)]
        listen = "\n".join(f"        listen 127.0.0.1:{port};" for port in self.origin_ports)
        file = fill("origin.conf", folder / "nginx.conf", folder=folder, listen=listen, body=BODY)
        (folder / "big").write_bytes(b"x" * BIG)
        command = [self.program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(file)]
        origin = Running("origin", command, self.cores.load, folder)

        def ready():
            origin.check()
            return all(map(answers, self.origin_ports))

        until("the endpoints answer", ready)

    def start(self, name, label=None, front=FRONTS["http"], files=None, **values):
        """A proxy on its own core, with these values in its file; `label` tells two of the same kind apart. `files`: its certificate."""
        kind, folder = PEERS[name], self._folder(label or name)
        said = {word: text.format(**(files or {})) for word, text in front.said[name].items()}
        template = Path(kind.template)
        template = f"{template.stem}{front.template}{template.suffix}"
        port, admin_port = free_port(), free_port()
        endpoints = [kind.endpoint.format(n=n, port=port) for n, port in enumerate(self.origin_ports, 1)]
        if name == "evenkeel":
            values = {"routes": '[[routes]]\nupstream = "site"', **values}
        file = fill(template, folder / template, folder=folder, port=port, admin_port=admin_port, scheme=front.scheme,
                    endpoints=kind.between.join(endpoints), **said, **values)
        command = [self.program(name), *(word.format(file=file, folder=folder) for word in kind.run)]
        return Proxy(Running(label or name, command, self.cores.proxy, folder), port, admin_port, file)

    def _folder(self, name):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def fill(template, file, **values):
    """Writes a template with its {{words}} replaced."""
    text = (TEMPLATES / template).read_text()
    for word, value in values.items():
        text = text.replace("{{%s}}" % word, str(value))
    if left := re.search(r"{{\w+}}", text):
        raise Broken(f"{template}: nothing given for {left.group()}")
    file.write_text(text)
    return file
