"""A disk without room, told in the service's own words."""

import contextlib
import errno
from collections.abc import Iterator

from service.exceptions import DiskFull

__all__ = ["full_disk_told"]

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def full_disk_told(message: str | None = None, *, hint: str | None = None) -> Iterator[None]:
    """Turn the system's word for a full disk into `DiskFull`; any other error stays as it is.

    Args:
        message: What there is no room for; that of `DiskFull` when left out.
        hint: What to do; that of `DiskFull` when left out.

    Raises:
        DiskFull: The block came to the end of the disk or of a quota.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(message, hint=hint) from None
