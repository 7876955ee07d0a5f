"""Doorbells: a hint to other processes that the database holds something new.

A ring can be lost (a full pipe, a process just starting, a server that restarts), so every listener also polls.
"""

from service.doorbell.bells import JOB_CHANGED, JOB_QUEUED, UNDER_WAY, Doorbell, Listener, doorbell, listen
from service.doorbell.pipes import PipeDoorbell, PipeListener

__all__ = [
    "JOB_CHANGED",
    "JOB_QUEUED",
    "UNDER_WAY",
    "Doorbell",
    "Listener",
    "PipeDoorbell",
    "PipeListener",
    "doorbell",
    "listen",
]
