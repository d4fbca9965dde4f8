"""Settings of the external metrics API, where an HPA without KEDA reads replicas."""

from typing import Final

from pydantic import Field

from foresail.settings.values import File, Listen, Text
from scaler.parts import Part

_OBJECT: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class ExternalMetricsSettings(Part):
    """The API `external.metrics.k8s.io`, aggregated; without this group it is not served."""

    listen: Listen = "0.0.0.0:6443"
    """The HTTPS server for the API server's aggregator, `host:port`."""
    certificate: File
    """The server's certificate chain, a PEM file; the APIService trusts its CA."""
    key: File
    """The private key of `certificate`, a PEM file."""
    front_proxy_ca: File
    """The CA of the aggregator's client certificate, a PEM file."""
    front_proxy_names: tuple[Text, ...] = Field(
        default=("front-proxy-client",),
        min_length=1,
        description="a list of names in certificates, at least one",
    )
    """Common names of which the aggregator's certificate must carry one; kubeadm's by default."""
    service: str = Field(
        default="foresail/foresail-external-metrics",
        pattern=_OBJECT,
        description="namespace/name of a Service",
    )
    """The Service that the APIService names. If it names another, Foresail does not start."""
