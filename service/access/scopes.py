"""What a key may do."""

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Scope", "covering"]


class Scope(StrEnum):
    """One kind of right. Each includes those before it."""

    READ = "read"
    """Look: every GET."""
    WRITE = "write"
    """Submit, upload, change, delete; what belongs to the key's owner, and nothing else."""
    ADMIN = "admin"
    """Run the service itself. It is no way into what other owners have."""


_INCLUDED: dict[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


def covering(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Give all that a key with these scopes may do."""
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))
