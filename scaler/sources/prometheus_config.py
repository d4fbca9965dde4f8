"""What the settings say of one Prometheus, and as whom it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from requests.auth import AuthBase

from scaler.sources.access import Basic, Tls
from scaler.sources.aws_access import AwsAuth, SigV4
from scaler.sources.credential_server import asked_over
from scaler.sources.google_access import GoogleAuth, GoogleMetadata
from scaler.sources.prometheus_session import FileAuth
from scaler.sources.prometheus_transport import Transport
from scaler.sources.reading import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """One Prometheus, or another server with its API: Thanos, Mimir, VictoriaMetrics, a cloud's."""

    name: str
    """The operator's name for it, also in messages."""
    url: str
    owner: str | None = None
    """What shares its part of the memory for answers with this source; None = nothing else."""
    bearer_token_file: Path | None = None
    basic: Basic | None = None
    sigv4: SigV4 | None = None
    """For Amazon's managed Prometheus."""
    google: GoogleMetadata | None = None
    """For Google's; None there too where `bearer_token_file` has the token."""
    tls: Tls = field(default_factory=Tls)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request, `X-Scope-OrgID` for a tenant."""
    namespace_label: str | None = "namespace"
    """The label that must equal the workload's namespace; None reads all namespaces."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels that series must have, `cluster` on a global store."""
    limits: Limits = field(default_factory=Limits)
    timeout_seconds: float
    """For one whole read, including the wait for a free thread."""
    concurrency: int
    """Threads: what is read at once, which is what the source has slots for."""
    body_bytes_max: int = 64 * 2**20
    """Of one answer, unpacked: twice the size of four hours of 500 pods by the minute."""


def auth_of(config: PrometheusConfig, transport: Transport) -> AuthBase:
    """What adds the credentials to each request.

    Args:
        transport: over which a cloud is asked for credentials.
    """
    if config.sigv4 is not None:
        return AwsAuth(config.sigv4, asked_over(transport.send))
    if config.google is not None:
        return GoogleAuth(config.google, asked_over(transport.send))
    return FileAuth(config.bearer_token_file, config.basic)
