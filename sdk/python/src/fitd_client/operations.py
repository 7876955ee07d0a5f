"""Operations that are written once and called in both ways: at once, or with `await`."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from fitd_client.connection import AsyncConnection, Connection
from fitd_client.wire import Items, Steps

__all__ = ["Async", "Sync", "iteration", "operation", "own_operation"]

P = ParamSpec("P")
T = TypeVar("T")


class Sync:
    """Something whose operations are done when they return."""

    _connection: Connection


class Async:
    """Something whose operations are awaited."""

    _connection: AsyncConnection


SyncT = TypeVar("SyncT", bound=Sync)
AsyncT = TypeVar("AsyncT", bound=Async)


class _Written(Generic[P]):
    """A generator function in a class, bound to an instance and run by its connection when it is called."""

    _runner = "run"

    def __init__(self, function: Callable[Concatenate[Any, P], Generator[Any, Any, Any]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def _bound(self, instance: Sync | Async | None) -> Any:  # noqa: ANN401 - typed by the overloads
        if instance is None:
            return self
        function, run = self._function, getattr(instance._connection, self._runner)  # noqa: SLF001 - a friend

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - typed by the overloads
            return run(function(instance, *args, **kwargs))

        call.__signature__ = _without_self(function)  # type: ignore[attr-defined]
        return call


@functools.cache
def _without_self(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


class operation(_Written[P], Generic[P, T]):  # noqa: N801 - a decorator
    """Something that is asked of the service and gives a value."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Sync | Async | None, owner: type) -> Any:
        """Bind to the client or handle whose operation it is."""
        return self._bound(instance)


class own_operation(_Written[P]):  # noqa: N801 - a decorator
    """An operation that gives a handle of the kind that it is asked of: mostly that one, brought up to date."""

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SyncT, owner: type) -> Callable[P, SyncT]: ...
    @overload
    def __get__(self, instance: AsyncT, owner: type) -> Callable[P, Coroutine[Any, Any, AsyncT]]: ...
    def __get__(self, instance: Sync | Async | None, owner: type) -> Any:
        """Bind to the handle whose operation it is."""
        return self._bound(instance)


class iteration(_Written[P], Generic[P, T]):  # noqa: N801 - a decorator
    """Something that gives one item after the other: for `for`, or for `async for`."""

    _runner = "iterate"

    def __init__(self, function: Callable[Concatenate[Any, P], Items[T]]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Sync | Async | None, owner: type) -> Any:
        """Bind to the client or handle whose items they are."""
        return self._bound(instance)
