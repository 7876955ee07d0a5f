"""Sweeps now and then, beside a worker."""

from dataclasses import asdict

import structlog
from sqlalchemy.exc import OperationalError

from service.beside import Beside
from service.db import Database
from service.exceptions import ServiceError
from service.retention.sweeper import sweep_once
from service.settings import Settings

__all__ = ["Keeper"]

logger = structlog.get_logger(__name__)

FIRST_SECONDS = 5.0
"""The first sweep comes so soon after the start: a service that never lives long has to sweep too."""


class Keeper(Beside):
    """A thread that sweeps while the block runs. Whatever goes wrong in it is logged and ends nothing else."""

    def __init__(self, settings: Settings, database: Database) -> None:
        super().__init__("retention")
        self._settings = settings
        self._database = database

    def work(self) -> None:
        """Sweep again and again."""
        every = self._settings.retention.every_seconds
        pause = min(FIRST_SECONDS, every)
        while not self._stop.wait(pause):
            pause = every
            self._sweep()

    def _sweep(self) -> None:
        try:
            swept = sweep_once(self._settings, self._database, stop=self._stop)
        except (ServiceError, OperationalError) as error:
            logger.warning("sweep put off", reason=str(error).partition("\n")[0])
        except Exception:
            logger.exception("sweep failed")
        else:
            if swept:
                logger.info("removed what may go", **asdict(swept))
