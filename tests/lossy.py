"""A relay in front of a server that can lose the answer to a commit, as a network does."""

import socket
import threading
from multiprocessing.connection import wait

from tests.relay import Relay

__all__ = ["LossyRelay"]

_COMMIT = b"COMMIT\0"  # And not the level READ COMMITTED at the begin of a transaction.


class LossyRelay(Relay):
    """Passes everything on, except when it is told to lose an answer."""

    def __init__(self, port: int) -> None:
        self._losing = threading.Event()
        self.lost = 0
        super().__init__(port)

    def lose_next_commit(self) -> None:
        """Let the next commit happen, and cut the connection before its answer."""
        self._losing.set()

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while True:
            for source in wait(list(other)):
                assert isinstance(source, socket.socket)
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)
                if source is client and _COMMIT in data and self._losing.is_set():
                    self._losing.clear()
                    server.recv(65536)
                    self.lost += 1
                    return
