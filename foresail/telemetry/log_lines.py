"""The lines of the log as OTLP records, beside standard error."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from typing_extensions import override

from foresail.telemetry.exporters import SCOPE

_SEVERITIES: Final = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_SHOWN_ELSEWHERE: Final = frozenset({"event", "level", "timestamp"})


def send_log(provider: LoggerProvider) -> None:
    """Send each line from now on too."""
    logger = provider.get_logger(SCOPE)

    def emit(level: str, event: object, more: Mapping[str, object]) -> None:
        logger.emit(
            LogRecord(
                severity_text=level.upper(),
                severity_number=_SEVERITIES.get(level, SeverityNumber.UNSPECIFIED),
                body=str(event),
                attributes={key: _value(value) for key, value in more.items()},
            )
        )

    def send(_: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        more = {key: value for key, value in line.items() if key not in _SHOWN_ELSEWHERE}
        emit(str(line.get("level", method)), line.get("event"), more)
        return line

    *before, rendered = structlog.get_config()["processors"]
    structlog.configure(processors=[*before, send, rendered])
    logging.getLogger().addHandler(_Libraries(emit))


class _Libraries(logging.Handler):
    """Lines of libraries; but those of the exporters would be sent for ever by themselves."""

    def __init__(self, emit: Any) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit
        self._formatter = logging.Formatter()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in {"opentelemetry", "grpc", "urllib3"}:
            return
        more = {"logger": record.name}
        if record.exc_info:
            more["exception"] = self._formatter.formatException(record.exc_info)
        self._emit(record.levelname.lower(), record.getMessage(), more)


def _value(value: object) -> str | bool | int | float | list[str]:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return str(value)
