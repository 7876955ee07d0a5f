"""A relay in front of a server that can lose the answer to a commit, as a network does."""

import contextlib
import socket
import threading
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

__all__ = ["LossyRelay"]

_COMMIT = b"COMMIT\0"  # And not the level READ COMMITTED at the begin of a transaction.


class LossyRelay:
    """Passes everything on, except when it is told to lose an answer."""

    def __init__(self, port: int) -> None:
        """Listen on a port of its own.

        Args:
            port: Of the server, on this machine.
        """
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._losing = threading.Event()
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_commit(self) -> None:
        """Let the next commit happen, and cut the connection before its answer."""
        self._losing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError):
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
