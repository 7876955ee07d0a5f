"""The API as a process: uvicorn, told to let go of its streams when it stops."""

import os
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings

__all__ = ["run_api"]

GRACE_SECONDS = 1
"""Time that a stopping API gives requests that are being answered."""


class _Server(uvicorn.Server):
    """Ends event streams and long polls at the first signal: open ones would hold the shutdown up for ever."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if hasattr(self._app.state, "context"):
            self._app.state.context.changes.stop()
        super().handle_exit(sig, frame)


def run_api(settings: Settings, *, listening: socket.socket) -> None:
    """Serve the API on a socket that is listening already, until SIGTERM or SIGINT."""
    app = create_app(settings)
    config = uvicorn.Config(app, timeout_graceful_shutdown=GRACE_SECONDS, log_config=None, access_log=False)
    server = _Server(config, app)
    server.run(sockets=[listening])
    # Threads of the pool may still wait for a file lock or a torch import; nothing is lost by not waiting for them.
    os._exit(0 if server.started else 1)
