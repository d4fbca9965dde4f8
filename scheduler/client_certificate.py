"""The names in a TLS client's certificate, as Python's `ssl` gives a verified one."""

from collections.abc import Mapping
from typing import Any


def certificate_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Common names of the subject, and DNS names; empty where there is no certificate.

    Args:
        certificate: as `SSLObject.getpeercert()` has it.
    """
    subject = [pair for group in certificate.get("subject", ()) for pair in group]
    common = {name for key, name in subject if key == "commonName"}
    dns = {name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return frozenset(common | dns)
