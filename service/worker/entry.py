"""Where a runner process begins. The dispatcher imports this much of it, and so never pays for torch."""

from multiprocessing.connection import Connection

from service.worker.messages import RunnerConfig

__all__ = ["main"]


def main(pipe: Connection, config: RunnerConfig) -> None:
    """Run in a fresh process: load the rest, then train what comes through the pipe."""
    from service.worker import runner

    runner.run(pipe, config)
