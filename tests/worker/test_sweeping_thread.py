"""The thread that brings sweeps on beside a worker."""

import threading

from service.exceptions import DatabaseBusy
from service.worker.sweeping import Sweeping


class Advancer:
    """Notes which sweeps it was asked to bring on, and fails as often as it is told to."""

    def __init__(self, *failures: Exception, broken: str = "") -> None:
        self.failures = list(failures)
        self.broken = broken
        self.advanced: list[str] = []
        self.again = threading.Semaphore(0)

    def unfinished(self) -> list[str]:
        self.again.release()
        if self.failures:
            raise self.failures.pop(0)
        return ["sweep_a", "sweep_b"]

    def advance(self, sweep_id: str) -> None:
        self.advanced.append(sweep_id)
        if sweep_id == self.broken:
            raise ValueError("a fault")


def test_it_looks_at_once_when_nudged_and_now_and_then_by_itself() -> None:
    advancer = Advancer()
    with Sweeping(advancer, every_seconds=60) as sweeping:  # type: ignore[arg-type]
        assert advancer.again.acquire(timeout=5)
        sweeping.nudge()
        assert advancer.again.acquire(timeout=5)
        assert not advancer.again.acquire(timeout=0.1)
    with Sweeping(advancer, every_seconds=0.01):  # type: ignore[arg-type]
        assert all(advancer.again.acquire(timeout=5) for _ in range(3))


def test_nothing_that_goes_wrong_ends_it() -> None:
    advancer = Advancer(DatabaseBusy(), ValueError("a fault"))
    with Sweeping(advancer, every_seconds=0.01):  # type: ignore[arg-type]
        assert all(advancer.again.acquire(timeout=5) for _ in range(4))


def test_a_sweep_that_cannot_go_on_does_not_hold_up_the_others() -> None:
    advancer = Advancer(broken="sweep_a")
    with Sweeping(advancer, every_seconds=0.01):  # type: ignore[arg-type]
        assert all(advancer.again.acquire(timeout=5) for _ in range(2))
    assert advancer.advanced[:2] == ["sweep_a", "sweep_b"]


def test_it_is_gone_when_the_block_ends() -> None:
    with Sweeping(Advancer(), every_seconds=60) as sweeping:  # type: ignore[arg-type]
        pass
    sweeping._thread.join(5)
    assert not sweeping._thread.is_alive()
