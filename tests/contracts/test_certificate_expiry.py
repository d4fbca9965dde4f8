"""Certificates that run out are named before and after, and shown as a series."""

import datetime as dt
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from scaler.serving.certificate_expiry import CertificateExpiry, expiries
from scaler.serving.metrics import ServiceMetrics
from tests.contracts.certificates import Authority

END = dt.datetime(2126, 1, 1, tzinfo=dt.UTC).timestamp()  # of every certificate of the tests
DAY = 86_400.0


def looked(file: Path, now: list[float]) -> tuple[CertificateExpiry, CollectorRegistry]:
    registry = CollectorRegistry()
    files = {"tls.certificate": file}
    return CertificateExpiry(files, ServiceMetrics(registry), lambda: now[0]), registry


def test_a_certificate_is_named_once_when_it_soon_runs_out_and_once_when_it_has(
    tmp_path: Path,
) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(Authority("ca").sign("foresail").certificate)
    now = [END - 8 * DAY]
    expiry, registry = looked(file, now)

    with capture_logs() as said:
        expiry.look()
        assert said == []
        now[0] = END - 6 * DAY
        expiry.look()
        expiry.look()
        now[0] = END + 90
        expiry.look()
        expiry.look()

    assert [(one["event"], one.get("left") or one.get("ago")) for one in said] == [
        ("certificate_expires_soon", "144h"),
        ("certificate_expired", "1m30s"),
    ]
    assert said[1]["file"] == str(file)
    assert said[1]["expires"] == "2126-01-01 00:00:00Z"
    labels = {"setting": "tls.certificate"}
    name = "foresail_certificate_expiry_timestamp_seconds"
    assert registry.get_sample_value(name, labels) == END


def test_of_a_chain_the_first_to_run_out_counts_and_text_around_is_passed_over() -> None:
    authority = Authority("ca")
    chain = b"# of the server\n" + authority.sign("a").certificate + authority.certificate

    assert list(expiries(chain.decode())) == [END, END]


@pytest.mark.parametrize(
    "body", ["", "AAAA", "MIIB", "MAA=", "MIH/MIH/"], ids=["empty", "zeros", "cut", "void", "long"]
)
def test_what_is_no_certificate_is_no_date(body: str) -> None:
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"

    with pytest.raises(ValueError, match="no certificate"):
        list(expiries(pem))
