"""Imported by the process that runners are forked from, before all else: from then on SIGTERM ends none of them.

A supervisor may send it to all processes of a service at once. Only the worker decides when its runners stop: it
tells them through the pipe, and they end with it when that closes. A death by the signal would count as a crash of
the job. And without the process that forks, each of its children looks dead.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
