"""A relay in front of the service that cuts connections, as networks do."""

import socket
import threading
from multiprocessing.connection import wait

from tests.relay import Relay

__all__ = ["CuttingRelay"]


class CuttingRelay(Relay):
    """Passes everything on, and cuts a connection when it is told to.

    Attributes:
        cuts: How many connections it has cut.
    """

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._lost: list[bytes] = []
        self._sizes: list[int] = []
        self.cuts = 0
        super().__init__(port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lose_answer_to(self, request: bytes) -> None:
        """Let the next request that begins so reach the service, and lose the answer."""
        with self._lock:
            self._lost.append(request)

    def cut_streams_after(self, *sizes: int) -> None:
        """Cut the next streams of events, each after so many bytes of it."""
        with self._lock:
            self._sizes.extend(sizes)

    def relay(self, client: socket.socket, server: socket.socket) -> None:
        losing, left = False, None
        while True:
            for source in wait([client, server]):
                assert isinstance(source, socket.socket)
                data = source.recv(65536)
                if not data:
                    return
                if source is client:
                    losing = losing or self._is_lost(data)
                    left = self._next_size() if b"/events" in data else left
                    server.sendall(data)
                elif losing or (left is not None and len(data) > left):
                    client.sendall(b"" if losing else data[:left])
                    self.cuts += 1
                    return
                else:
                    left = None if left is None else left - len(data)
                    client.sendall(data)

    def _next_size(self) -> int | None:
        with self._lock:
            return self._sizes.pop(0) if self._sizes else None

    def _is_lost(self, data: bytes) -> bool:
        with self._lock:
            found = next((begin for begin in self._lost if data.startswith(begin)), None)
            if found is not None:
                self._lost.remove(found)
            return found is not None
