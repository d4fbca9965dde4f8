"""Settings of a source that metrics are pushed to over OTLP."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError
from typing_extensions import override

from foresail.ports.loopback import names_loopback
from foresail.settings.reading import ReadingSettings
from foresail.settings.values import Dial, File, Listen, Text
from scaler.faults import crossed
from scaler.parts import Faulty, Part, key_of


class OtlpTlsSettings(Part):
    certificate: File
    """The certificate chain of both ports, a PEM file; read again when it changes."""
    key: File
    """The private key of `certificate`, a PEM file."""
    client_ca: File | None = None
    """The CA of the senders to admit, a PEM file; without it no sender needs a certificate."""


class OtlpSettings(Part):
    """A receiver of metrics over OTLP; needs the extra `opentelemetry`."""

    grpc: Listen | None = None
    """The port for OTLP over gRPC, such as `127.0.0.1:4317`."""
    http: Listen | None = None
    """The port for OTLP over HTTP with protobuf, such as `127.0.0.1:4318`; its path is
    `/v1/metrics`."""
    tls: OtlpTlsSettings | None = None
    """Required on other addresses than loopback."""
    token_file: File | None = None
    """The bearer token that senders must show; read at each request."""
    namespaces: tuple[Text, ...] = Field(
        min_length=1, description='a list of namespaces, or ["*"] for every one'
    )
    """Namespaces whose ScaledObjects may read what arrives."""
    peers: Dial | None = None
    """A name that resolves to the gRPC ports of all replicas; each passes on what it receives."""
    reading: ReadingSettings = ReadingSettings()

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        ports = {name: values[name] for name in ("grpc", "http")}
        if not any(ports.values()):
            yield crossed("give at least one of grpc, http: host:port to listen on")
        yield from _peers_faults(values)
        tls, token = values["tls"], values["token_file"]
        if isinstance(tls, Faulty):
            return
        for name, address in ports.items():
            if not isinstance(address, str) or names_loopback(address):
                continue
            if tls is None:
                message = f"{address} is open to the network: give tls, or listen on 127.0.0.1"
                yield crossed(message, name)
            elif key_of(tls, "client_ca") is None and token is None:
                message = (
                    f"{address} is open to the network, and whoever sends there decides how many "
                    "replicas run: give tls.clientCa or tokenFile"
                )
                yield crossed(message, name)


def _peers_faults(values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
    if values["peers"] is None:
        return
    if values["grpc"] is None:
        yield crossed("replicas pass on over gRPC: give grpc too", "peers")
    if values["tls"] is not None and key_of(values["tls"], "client_ca") is None:
        message = "replicas know each other by their certificates: give tls.clientCa too"
        yield crossed(message, "peers")
