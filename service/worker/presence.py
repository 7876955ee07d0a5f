"""A sign of life that ends with the process: a locked file, released by the kernel whatever kills its holder."""

import fcntl
from pathlib import Path

__all__ = ["Presence"]


class Presence:
    """Holds this worker's lock file, and finds those of dead workers in the same data folder.

    A lease expires only after many seconds, because another host may merely be slow. On one host
    there is no such doubt: a lock that can be taken has no holder.
    """

    def __init__(self, folder: Path, worker_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{worker_id}.lock"
        # Locked before it gets its name: others never see a lock file of the living that they could take.
        unnamed = self._path.with_suffix(".new")
        self._file = unnamed.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._path)

    def abandoned(self) -> set[str]:
        """Give the ids of dead workers, each only once: their files are taken away."""
        others = [path for path in self._path.parent.glob("*.lock") if path != self._path]
        return {path.stem for path in others if _take_away(path)}

    def close(self) -> None:
        """Leave."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def _take_away(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
