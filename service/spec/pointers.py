"""JSON Pointers (RFC 6901)."""

__all__ = ["pointer_to"]


def pointer_to(*tokens: str | int) -> str:
    """Join object keys and array indices to a JSON Pointer, escaping `~` and `/` in them."""
    return "".join(f"/{_escaped(token)}" for token in tokens)


def _escaped(token: str | int) -> str:
    return str(token).replace("~", "~0").replace("/", "~1")
