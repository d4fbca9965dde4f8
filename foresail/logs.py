"""Logs: one JSON object a line, on standard error, without ever waiting for who reads it.

A pipe that nobody reads fills up, and a full disk refuses to be written; neither may stop an
answer, a shutdown or a start. So a thread of its own writes. Lines that it cannot write in time are
dropped, and their number is logged with the next line that can be written.
"""

import atexit
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from typing_extensions import override

from scaler.limits import Limit, exceeded

LINES_WAITING_MAX: Final = 1000
LINE_CHARACTERS_MAX: Final = 16_384
_END_SECONDS_MAX: Final = 1.0
"""How long the end of the process waits for lines that are not written yet."""
_RETRY_SECONDS: Final = 0.05


class LogWriter:
    """Takes lines without waiting, and writes them in a thread."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: queue.Queue[str] = queue.Queue(LINES_WAITING_MAX)
        self._dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def put(self, line: str) -> None:
        """Write a line later; it is dropped if too many wait."""
        if len(line) > LINE_CHARACTERS_MAX:
            exceeded(Limit.LOG_LINE)
            line = json.dumps({"event": "long_line", "begin": line[: LINE_CHARACTERS_MAX // 4]})
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            exceeded(Limit.LOG_LINES_WAITING)
            self._dropped += 1

    def flush(self, seconds_max: float = _END_SECONDS_MAX) -> None:
        """Wait until all lines are written, or for so long."""
        until = time.monotonic() + seconds_max  # noqa: TID251 of the machine, not of a plan
        while self._lines.unfinished_tasks and time.monotonic() < until:  # noqa: TID251 the same
            time.sleep(_RETRY_SECONDS / 10)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line = json.dumps({"event": "log_lines_dropped", "lines": dropped}) + "\n" + line
            try:
                self._write((line + "\n").encode(errors="backslashreplace"))
            except OSError:  # a full disk, a closed pipe
                self._dropped += dropped + 1
            self._lines.task_done()

    def _write(self, rest: bytes) -> None:
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:
                time.sleep(_RETRY_SECONDS)


class _Logger:
    """The end of structlog's chain."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.put(line)

    log = debug = info = warn = warning = error = critical = exception = fatal = msg


class _Handler(logging.Handler):
    """Lines of libraries, such as asyncio's of a task that failed."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(logging.WARNING)
        self._writer = writer
        self._formatter = logging.Formatter()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        entry: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.exc_info:
            entry["exception"] = self._formatter.formatException(record.exc_info)
        self._writer.put(json.dumps(entry))


def log_to_stderr(level: str) -> None:
    """Configure structlog for this process; `level` as logging names it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_logger_factory(),
    )


def _logger_factory() -> Callable[..., Any]:
    try:
        # Of its own, because the thread writes for as long as the process lives.
        file = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # it is in memory, as in a test
        return structlog.PrintLoggerFactory(sys.stderr)
    writer = LogWriter(file)
    atexit.register(writer.flush)
    logging.basicConfig(handlers=[_Handler(writer)], level=logging.WARNING)
    return lambda *_: _Logger(writer)
