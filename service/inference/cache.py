"""A bounded cache of predictors. It needs no torch: a service starts without waiting for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
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
        self._being_built: dict[str, Future[AnyPredictor]] = {}

    def known(self, key: str) -> "AnyPredictor | None":
        """Give the predictor of a key if it is here: at once, so that an event loop may ask."""
        with self._lock:
            found = self._predictors.get(key)
            if found is not None:
                self._predictors.move_to_end(key)
            return found

    def get(self, key: str, build: "Callable[[], AnyPredictor]") -> "AnyPredictor":
        """Give the predictor of a key, building it if it is not here.

        Threads that ask for the same one while it is built wait for it, and see the error if it cannot be built.
        """
        with self._lock:
            known = self._predictors.get(key)
            if known is not None:
                self._predictors.move_to_end(key)
                return known
            another = self._being_built.get(key)
            mine: Future[AnyPredictor] = Future()
            if another is None:
                self._being_built[key] = mine
        return self._built(key, build, mine) if another is None else another.result()

    def _built(
        self, key: str, build: "Callable[[], AnyPredictor]", told: "Future[AnyPredictor]"
    ) -> "AnyPredictor":
        """Build outside the lock: other keys do not wait."""
        try:
            built = build()
        except BaseException as error:
            with self._lock:
                del self._being_built[key]
            told.set_exception(error)
            raise
        with self._lock:
            del self._being_built[key]
            self._predictors[key] = built
            while len(self._predictors) > self._size:
                self._predictors.popitem(last=False)
        told.set_result(built)
        return built
