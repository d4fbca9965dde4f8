"""Settings of the servers: ports, certificates, limits, and states that outlive a process."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError
from typing_extensions import override

from foresail.settings.values import (
    AddressPrefix,
    Count,
    Dial,
    File,
    Folder,
    Listen,
    Seconds,
    Text,
)
from scaler.faults import crossed
from scaler.parts import Part
from scaler.sources.series_room import SERIES_MEBIBYTES_MAX


class ListenSettings(Part):
    grpc: Listen = "0.0.0.0:6500"
    """The gRPC server for KEDA, `host:port`."""
    http: Listen = "0.0.0.0:8080"
    """Health and metrics, `host:port`; explanations on loopback, or with a token."""
    plain_text: bool = False
    """Whether the gRPC server may use plain text on other addresses than loopback."""
    token_file: File | None = None
    """The bearer token for explanations from elsewhere than loopback; read at each request."""
    token_review: bool = False
    """Whether the API server's TokenReview and SubjectAccessReview admit to explanations too."""


class TlsSettings(Part):
    certificate: File
    """The gRPC server's certificate chain, a PEM file; read again when it changes."""
    key: File
    """The private key of `certificate`, a PEM file."""
    client_ca: File | None = None
    """The CA of the clients to admit, a PEM file; without it every client is admitted."""
    client_names: tuple[Text, ...] = Field(
        default=(), description="a list of DNS names in certificates"
    )
    """DNS names of which a client's certificate must carry one; without it the CA is enough."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if values["client_names"] and values["client_ca"] is None:
            message = "clients are known by their certificates: give tls.clientCa too"
            yield crossed(message, "clientNames")


class LimitSettings(Part):
    objects_max: Count = 5000
    """The most triggers that one server plans for; for more, shard by namespace."""
    objects_per_namespace_max: Count = 1000
    """The most triggers of one namespace, so that no tenant takes the room of all others."""
    replicas_max: Count = 1000
    """The most replicas of any workload."""
    streams_per_connection_max: Count = 20_000
    """The most streams on one connection; KEDA holds two for each push trigger."""
    series_mebibytes_max: Count = SERIES_MEBIBYTES_MAX
    """The most memory, in MiB, of the series that sources of kind scrape and otlp keep from look to
    look; a namespace that has more than its share is refused. Some 280 pods of vLLM take 64."""
    metadata_addresses: tuple[AddressPrefix, ...] = Field(
        default=(), description="a list of http or https addresses without credentials"
    )
    """Addresses that a trigger's `serverAddress` may start with; by default none."""


class DecisionSettings(Part):
    """How long, and how many, decisions are kept for `foresail explain --at`."""

    keep: Seconds = 604_800.0
    """The time for which a decision is kept after the next one of its workload."""
    per_workload_max: Count = 1000
    """The most decisions of one workload; beyond it the oldest go."""
    mebibytes_max: Count = 512
    """The most room in the folder, in MiB; beyond it the oldest decisions of all go."""


class StateSettings(Part):
    """The forecasts, last plans and last answers that outlive a process."""

    directory: Folder | None = None
    """The folder for states, with one folder a pod in it; without it a restart begins anew."""
    peers: Dial | None = None
    """A name that resolves to all replicas; a joining replica fetches its states from them."""
    every: Seconds = 300.0
    """The time between two writes of a forecast; a restart reads later samples from the source."""
    decisions: DecisionSettings | None = DecisionSettings()
    """Decisions that are kept in `directory`, if there is one; `null` keeps none."""
