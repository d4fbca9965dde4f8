"""The ends of certificates in the metrics of the webhook and the controller."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from foresail.ports.certificate_ends import CertificateEnds
from scaler.serving.metrics import CERTIFICATE_EXPIRY
from tests.contracts.certificates import Authority

END = 4_922_899_200.0
"""2126-01-01, as the certificates of tests have it."""


def test_each_file_has_its_end_by_the_option_that_names_it(tmp_path: Path) -> None:
    authority = Authority("tests")
    (tmp_path / "tls.crt").write_bytes(authority.sign("webhook").certificate)
    registry = CollectorRegistry()
    registry.register(
        CertificateEnds(
            {"tls-certificate": tmp_path / "tls.crt", "client-ca": None, "gone": tmp_path / "no"}
        )
    )

    assert registry.get_sample_value(CERTIFICATE_EXPIRY, {"setting": "tls-certificate"}) == END
    # What cannot be read has no sample, and zero would be 1970.
    assert registry.get_sample_value(CERTIFICATE_EXPIRY, {"setting": "gone"}) is None
    assert registry.get_sample_value(CERTIFICATE_EXPIRY, {"setting": "client-ca"}) is None


def test_a_renewed_file_is_read_at_the_next_scrape(tmp_path: Path) -> None:
    file = tmp_path / "tls.crt"
    file.write_text("no certificate")
    registry = CollectorRegistry()
    registry.register(CertificateEnds({"tls-certificate": file}))
    labels = {"setting": "tls-certificate"}

    assert registry.get_sample_value(CERTIFICATE_EXPIRY, labels) is None
    file.write_bytes(Authority("tests").sign("webhook").certificate)
    assert registry.get_sample_value(CERTIFICATE_EXPIRY, labels) == END
