"""A storm of TLS handshakes, as a program of its own: `storm.py PORT HANDSHAKES`, until it is told to end.

So many handshakes are in flight at any time: a ClientHello was sent, and the server's answer is awaited. Each is a full one, for a
server makes its key exchange and its signature before it can answer. One in eight goes on to its end; the others leave then and make
room for the next, because to finish costs a client more than the server, and this one has only the rest of a core.
"""

import errno
import json
import os
import select
import signal
import socket
import ssl
import struct
import sys

FINISHES = 8
# Closing with a reset: 60 seconds of TIME_WAIT for each would leave no ports.
RESET = struct.pack("ii", 1, 0)


class Storm:
    """All handshakes that are in flight."""

    def __init__(self, port, handshakes):
        self._address, self._handshakes = ("127.0.0.1", port), handshakes
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._hello = self._begin()[2]
        self._epoll, self._open, self._begun = select.epoll(), {}, 0
        self.told = {"answered": 0, "finished": 0, "failed": 0}

    def run(self):
        """For ever."""
        for _ in range(self._handshakes):
            self._connect()
        while True:
            for number, _events in self._epoll.poll():
                client = self._open[number]
                try:
                    client.goes_on()
                except ssl.SSLWantReadError:
                    continue
                except (OSError, ssl.SSLError):
                    self.told["failed"] += 1
                    client.state = "over"
                if client.state == "asks":
                    self._epoll.modify(number, select.EPOLLIN)
                elif client.state == "over":
                    del self._open[number]
                    client.socket.close()
                    self._connect()

    def _connect(self):
        self._begun += 1
        client = Client(self.told, self._begin() if self._begun % FINISHES == 0 else (None, None, self._hello))
        if client.socket.connect_ex(self._address) not in (0, errno.EINPROGRESS):
            raise OSError("cannot connect")
        self._open[client.socket.fileno()] = client
        self._epoll.register(client.socket.fileno(), select.EPOLLOUT)

    def _begin(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return tls, (incoming, outgoing), outgoing.read()
        raise AssertionError("nothing was awaited")


class Client:
    """One handshake: connects, asks, is answered, and perhaps finishes."""

    def __init__(self, told, begun):
        self._told, (self._tls, self._bytes, self._hello) = told, begun
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.state = "connects"

    def goes_on(self):
        """Something has happened to its socket."""
        if self.state == "connects":
            self.socket.send(self._hello)
            self.state = "asks"
            return
        data = self.socket.recv(16384)
        if not data:
            raise OSError("closed")
        if self.state == "asks":
            self._told["answered"] += 1
            self.state = "answered"
        if not self._tls:
            self.state = "over"
        elif self.state == "finished":
            # The server's tickets: it has our end of the handshake.
            self._told["finished"] += 1
            self.state = "over"
        else:
            incoming, outgoing = self._bytes
            incoming.write(data)
            self._tls.do_handshake()
            self.socket.send(outgoing.read())
            self.state = "finished"


def main():
    """Tells what it has counted when it is told to end."""
    os.nice(19)  # whoever measures beside it goes first
    storm = Storm(int(sys.argv[1]), int(sys.argv[2]))

    def end(_number, _frame):
        print(json.dumps(storm.told), flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    storm.run()


if __name__ == "__main__":
    main()
