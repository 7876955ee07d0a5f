"""Which of the media types that an endpoint offers the caller wants, by the Accept header (RFC 9110)."""

from collections.abc import Sequence

from service.exceptions import NotAcceptable

__all__ = ["ARROW", "CSV", "JSON", "NPY", "NPZ", "PNG", "SAFETENSORS", "SVG", "negotiate"]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
NPZ = "application/x-npz"
SVG = "image/svg+xml"
PNG = "image/png"
SAFETENSORS = "application/vnd.safetensors"


def negotiate(accept: str | None, offered: Sequence[str]) -> str:
    """Choose a media type.

    Args:
        accept: The Accept header; None takes anything.
        offered: What can be given, the preferred one first.

    Raises:
        NotAcceptable: Nothing of it is wanted.
    """
    ranges = _ranges(accept or "*/*")
    best = max(offered, key=lambda media: _quality(media, ranges))
    if _quality(best, ranges) == 0:
        raise NotAcceptable(hint=f"Send Accept: {' or '.join(offered)}.")
    return best


def _ranges(accept: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.lower().startswith("q=")), "1")
        try:
            ranges[media.lower()] = float(quality)
        except ValueError:
            ranges[media.lower()] = 0.0
    return ranges


def _quality(media: str, ranges: dict[str, float]) -> float:
    """The most specific range that covers a media type decides, whatever its quality."""
    for pattern in (media, f"{media.split('/', maxsplit=1)[0]}/*", "*/*"):
        if pattern in ranges:
            return ranges[pattern]
    return 0.0
