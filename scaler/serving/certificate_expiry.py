"""When the certificates of this server and of its clients' CA run out.

An expired certificate fails every handshake, and gRPC says nothing of it: KEDA only reports that it
cannot connect.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from scaler.clock import Clock
from scaler.durations import format_duration
from scaler.serving.metrics import ServiceMetrics

log = structlog.get_logger()

SOON_SECONDS: Final = 7 * 86_400.0
"""Named before it runs out by so much; cert-manager renews a month before by default."""
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
_TIME_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime; RFC 5280 allows no other forms."""
_EXPLICIT_VERSION: Final = 0xA0
_LONG_FORM: Final = 0x80
_BEFORE_VALIDITY: Final = 3
"""Serial number, algorithm and issuer."""


class CertificateExpiry:
    """Looks at certificate files, and names those that have expired or soon will."""

    def __init__(self, files: Mapping[str, Path], metrics: ServiceMetrics, wall: Clock) -> None:
        """Look at nothing yet.

        Args:
            files: by the setting that names each.
            wall: Unix time.
        """
        self._files = files
        self._metrics = metrics
        self._wall = wall
        self._named: dict[str, float] = {}

    def look(self) -> None:
        """Read the files. Blocks."""
        for setting, file in self._files.items():
            first = first_expiry(file)
            if first is None:
                continue  # the server keeps the pair that it has, and says so
            self._metrics.certificate_expiry.labels(setting).set(first)
            self._name(setting, file, first)

    def _name(self, setting: str, file: Path, expiry: float) -> None:
        """Log it once for each certificate, and again when it has run out."""
        left = expiry - self._wall()
        if left > SOON_SECONDS or self._named.get(setting, 0.0) == (
            expiry if left > 0 else -expiry
        ):
            return
        self._named[setting] = expiry if left > 0 else -expiry
        shown = {"setting": setting, "file": str(file), "expires": _shown(expiry)}
        if left <= 0:
            log.error("certificate_expired", ago=format_duration(-left), **shown)
        else:
            log.warning("certificate_expires_soon", left=format_duration(left), **shown)


def first_expiry(file: Path) -> float | None:
    """Unix time at which the file's first certificate expires; None where it cannot be read."""
    try:
        return min(expiries(file.read_text(encoding="ascii", errors="replace")))
    except (OSError, ValueError):
        return None


def expiries(pem: str) -> Iterator[float]:
    """When each certificate of a PEM file runs out, in Unix time.

    Raises:
        ValueError: one is no certificate.
    """
    for block in _PEM.findall(pem):
        try:
            yield _not_after(ssl.PEM_cert_to_DER_cert(block))
        except (IndexError, ValueError) as error:
            raise ValueError("no certificate") from error


def _not_after(certificate: bytes) -> float:
    """`notAfter` of a certificate (RFC 5280, 4.1), whose fields are found by their lengths."""
    _, begin, _ = _field(certificate, 0)
    _, at, _ = _field(certificate, begin)  # tbsCertificate
    tag, _, end = _field(certificate, at)
    if tag == _EXPLICIT_VERSION:
        at = end
    for _skipped in range(_BEFORE_VALIDITY):
        _, _, at = _field(certificate, at)
    _, begin, _ = _field(certificate, at)
    _, _, at = _field(certificate, begin)  # notBefore
    tag, begin, end = _field(certificate, at)
    if tag not in _TIME_FORMATS:
        raise ValueError("no time")
    text = certificate[begin:end].decode("ascii")
    return datetime.strptime(text, _TIME_FORMATS[tag]).replace(tzinfo=UTC).timestamp()


def _field(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag of the field at this place, and where its content begins and ends."""
    tag, length, begin = der[at], der[at + 1], at + 2
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        length, begin = int.from_bytes(der[begin : begin + count]), begin + count
    if begin + length > len(der):
        raise ValueError("cut off")
    return tag, begin, begin + length


def _shown(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
