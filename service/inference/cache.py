"""A bounded cache of predictors. It needs no torch: a service starts without waiting for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.inference.grouped import GroupedPredictor
    from service.inference.predictor import Predictor

    AnyPredictor = Predictor | GroupedPredictor

__all__ = ["PredictorCache"]


class PredictorCache:
    """Keeps the predictors used last, by a key whose meaning never changes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._predictors: OrderedDict[str, AnyPredictor] = OrderedDict()

    def get(self, key: str, build: "Callable[[], AnyPredictor]") -> "AnyPredictor":
        """Give the predictor of a key, building it if it is not here."""
        with self._lock:
            known = self._predictors.get(key)
            if known is not None:
                self._predictors.move_to_end(key)
                return known
        # Built outside the lock: two threads may build the same one, which costs time but no harm.
        built = build()
        with self._lock:
            self._predictors[key] = built
            while len(self._predictors) > self._size:
                self._predictors.popitem(last=False)
        return built
