"""Starts programs pinned to a core, says what they used, and ends them all.

Everything here is read from /proc, so it costs the measured program nothing. Every program leads a process group of its
own: that is how its children are found (nginx's worker) and how nothing is left behind.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

_ENDINGS = (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_started = []
_ports_given = set()


class Broken(Exception):
    """The measurement cannot go on; its text says why, for people."""


class Used(NamedTuple):
    """What a program and its children did with the processor, in nanoseconds, since they started or between two looks."""

    running: int
    # Of that, outside the kernel: sampled by its clock tick, so good to a few per cent of a second.
    user: int
    # Ready to run while somebody else had the core: above a few per cent of a round, the machine was not quiet.
    waiting: int


class Running:
    """One program, its children included."""

    def __init__(self, name, command, core, folder):
        self.name = name
        self._log = Path(folder) / f"{name}.log"
        with open(self._log, "wb") as log:
            # Before the process is made: starting it is part of what it takes to start.
            self.since = time.monotonic()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}), start_new_session=True)
        self.pid = self._process.pid
        _started.append(self)

    def check(self):
        """Raises, with the program's own words, if it is gone."""
        if self._process.poll() is not None:
            said = self._log.read_text(errors="replace").strip()[-2000:]
            raise Broken(f"{self.name} ended by itself, status {self._process.returncode}; it said:\n{said}")

    def pids(self):
        """The program and its children."""
        pids = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                group = (folder / "stat").read_text().rpartition(")")[2].split()[2]
                if int(group) == self.pid:
                    pids.append(int(folder.name))
        return pids

    def threads(self):
        """Nanoseconds running and waiting of each thread alive: /proc/PID/task/TID/schedstat."""
        threads = {}
        for pid in self.pids():
            for folder in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    running, waiting, _ = (folder / "schedstat").read_text().split()
                    threads[folder] = (int(running), int(waiting))
        return threads

    def ticks(self):
        """User and system time in nanoseconds, threads that ended included, but only to a hundredth of a second."""
        user = system = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                user, system = user + int(fields[11]), system + int(fields[12])
        tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return user * tick, system * tick

    def memory(self):
        """Resident bytes, VmRSS; pages that two processes share count twice."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1]) * 1024
        return total

    def end(self):
        """Asks it to end, twice because evenkeel drains at the first, so that it can end its children; then ends them all."""
        for _ in range(2):
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        _started.remove(self)


class Meter:
    """Processor time of a program from its making to `read`."""

    def __init__(self, running):
        self._running = running
        self._threads = running.threads()
        self._ticks = running.ticks()

    def read(self):
        """What it used since."""
        now = self._running.threads()
        used = [(was, self._threads.get(thread, (0, 0))) for thread, was in now.items()]
        running = sum(after - before for (after, _), (before, _) in used)
        waiting = sum(after - before for (_, after), (_, before) in used)
        user, system = (after - before for after, before in zip(self._running.ticks(), self._ticks))
        if not now or self._threads.keys() - now.keys():
            # A thread ended and took its exact time with it (or the kernel keeps none): the coarse clock has it all.
            running = user + system
        return Used(running, running * user // max(1, user + system), waiting)


def go_first():
    """Asks the kernel to let us and everything started here run before other people's sessions (sched(7), autogroup). For the tail of
    latencies, which is mostly the turns of others; where it is not allowed it is left."""
    for pid in ("self", *(running.pid for running in _started)):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text("-20")


def end_all():
    """Ends everything that was started here, and is not to be disturbed in that."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    for running in list(_started):
        running.end()


def end_with_us(seconds):
    """After so many seconds, or when somebody ends this script, everything that it started ends too."""

    def stop(number, _frame):
        why = f"not done after {seconds:.0f} s" if number == signal.SIGALRM else "stopped from outside"
        raise Broken(why)

    for number in _ENDINGS:
        signal.signal(number, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def free_port():
    """A port of loopback that nobody listens on, below those that the kernel gives to connections."""
    first_of_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(first_of_kernel - 12_000, first_of_kernel), 1000):
        if port in _ports_given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _ports_given.add(port)
            return port
    raise Broken("no free port on loopback")


def until(what, condition, seconds=30.0, pause=0.001):
    """Waits for a condition and returns what it gave; raises when it stays false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(pause)
    raise Broken(f"{what}: not after {seconds:.0f} s")
