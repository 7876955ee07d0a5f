"""Structured logs: one line an event, to stderr, with whatever is bound (such as the job's id)."""

import logging
import sys

import structlog

__all__ = ["configure"]


def configure(*, log_format: str, level: str) -> None:
    """Set up structlog, and let the standard library's loggers (uvicorn, alembic) speak through it.

    Args:
        log_format: `console`, `json`, or `auto`: for people where a terminal is watching.
        level: The least important level that is shown, such as `info`.
    """
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Only the frames of an exception are written, never their local variables: those hold keys and people's rows.
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if for_people
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(shared, renderer, for_people=for_people))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for noisy in ("alembic", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _formatter(
    shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor, *, for_people: bool
) -> logging.Formatter:
    as_data = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    trace = [] if for_people else [structlog.processors.ExceptionRenderer(as_data)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *trace, renderer],
    )
