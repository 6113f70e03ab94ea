"""What a server logs: one JSON object a line, and nothing in it that has the form of a token."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

__all__ = ["MASK", "logging_to", "masked"]

MASK = "***"
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*|cgr1_[A-Za-z0-9_-]+")
_LOGGERS = ("clawguard", "uvicorn")


@contextmanager
def logging_to(stream: TextIO, *, level: int = logging.INFO) -> Iterator[None]:
    """Write what clawguard and uvicorn log to a stream for the length of a block."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter())
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(level)
        each.propagate = False
    try:
        yield
    finally:
        for each, (old_level, propagated) in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.setLevel(old_level)
            each.propagate = propagated


def _formatter() -> ProcessorFormatter:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_log_level,
        add_logger_name,
        ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        masked,
    ]
    render: list[Any] = [ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()]
    return ProcessorFormatter(foreign_pre_chain=shared, processors=render)


def masked(_: Any, __: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put a mask in the place of every token, whoever let one get so far."""
    for name, value in told.items():
        if isinstance(value, str):
            told[name] = _TOKEN.sub(MASK, value)
    told.pop("color_message", None)  # uvicorn's own, for terminals
    return told
