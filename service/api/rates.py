"""How often callers may call: token buckets in the memory of one API process."""

import math
import time
from collections.abc import Callable

from service.exceptions import RateLimited

__all__ = ["Bucket", "Buckets"]


class Bucket:
    """Holds a minute's worth of calls, and is filled up again evenly.

    So a caller who was silent may make all calls of a minute at once, and then one whenever a minute's share is over.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._tokens = float(per_minute)
        self._filled_at = clock()

    def take(self, whose: str) -> None:
        """Let one call through.

        Raises:
            RateLimited: The bucket is empty; the error tells when to come again.
        """
        at, rate = self._clock(), self.per_minute / 60
        self._tokens = min(float(self.per_minute), self._tokens + (at - self._filled_at) * rate)
        self._filled_at = at
        if self._tokens < 1:
            seconds = math.ceil((1 - self._tokens) / rate)
            message = f"{whose} allows {self.per_minute:,} requests a minute, and that is used up."
            hint = f"Wait {seconds} s. RateLimit: limit={self.per_minute}, remaining=0, reset={seconds}, window=60."
            raise RateLimited(message, hint=hint, retry_after=seconds)
        self._tokens -= 1


class Buckets:
    """The bucket of each key, made when the key is first used and again when its rate has changed."""

    def __init__(self) -> None:
        self._by_key: dict[str, Bucket] = {}

    def take(self, key_id: str, per_minute: int) -> None:
        """Let one call of a key through.

        Raises:
            RateLimited: It has made as many as it may.
        """
        bucket = self._by_key.get(key_id)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self._by_key[key_id] = Bucket(per_minute)
        bucket.take("This key")
