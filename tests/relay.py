"""What relays in front of a server have in common: tests let them lose what networks lose."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

__all__ = ["Relay"]


class Relay:
    """Listens in front of a server; what becomes of a connection, its kind decides.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        """Listen on a port of its own.

        Args:
            port: Of the server, on this machine.
        """
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError):
            self.relay(client, server)

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what comes, until the connection is to be cut."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
