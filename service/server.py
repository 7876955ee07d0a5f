"""The API as a process: uvicorn, told to let go of its streams when it stops."""

import os
import signal
import socket
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings

__all__ = ["run_api"]

GRACE_SECONDS = 0.7
"""Time that a stopping API gives requests that are being answered."""


class _Server(uvicorn.Server):
    """Ends event streams and long polls at the first signal: open ones would hold the shutdown up for ever."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if hasattr(self._app.state, "context"):
            self._app.state.context.changes.stop()
        # A picture of millions of rows or a huge body is not waited for: its caller is told by the closed connection,
        # and what a transaction has not committed is rolled back.
        end = threading.Timer(GRACE_SECONDS, os._exit, args=(0,))
        end.daemon = True
        end.start()
        super().handle_exit(sig, frame)


def run_api(settings: Settings, *, listening: socket.socket) -> int:
    """Serve the API on a socket that is listening already, until SIGTERM or SIGINT.

    Returns:
        The exit code.
    """
    # After a graceful stop uvicorn raises the signal again, for whoever handled it before: nobody needs to.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    app = create_app(settings)
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, log_config=None, access_log=False)
    server = _Server(config, app)
    server.run(sockets=[listening])
    return 0 if server.started else 1
