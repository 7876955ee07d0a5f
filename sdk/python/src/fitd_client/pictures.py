"""Pictures that the service draws."""

from dataclasses import dataclass
from pathlib import Path

from fitd_client.wire import PNG, SVG

__all__ = ["MEDIA", "Picture"]

MEDIA = {"svg": SVG, "png": PNG}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: a notebook shows it.

    Attributes:
        name: As in `loss`.
        media: `image/svg+xml` or `image/png`.
        content: The file.
    """

    name: str
    media: str
    content: bytes

    def save(self, path: str | Path) -> Path:
        """Write it into a file."""
        written = Path(path)
        written.write_bytes(self.content)
        return written

    def __repr__(self) -> str:
        return f"<Picture {self.name} {self.media} of {len(self.content):,} bytes>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str | bytes]:  # noqa: ARG002
        content = self.content.decode() if self.media == SVG else self.content
        return {self.media: content, "text/plain": repr(self)}
