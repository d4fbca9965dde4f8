"""Settings of the Plans API: its port, and who may read which namespaces' plans."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from foresail.settings.values import File, Listen, Text
from scaler.faults import crossed
from scaler.parts import Faulty, Part, key_of

EVERY_NAMESPACE = "*"


class PlanReaderSettings(Part):
    name: Text
    """A DNS name in the reader's client certificate."""
    namespaces: tuple[Text, ...] = Field(
        min_length=1, description='a list of namespaces, or ["*"] for every one'
    )
    """The namespaces whose plans it may read."""


class PlansSettings(Part):
    """The Plans API; without this group it is not served."""

    listen: Listen = "0.0.0.0:6501"
    """The gRPC server for readers of plans, `host:port`; with `tls` it shows the same
    certificate."""
    client_ca: File | None = None
    """The CA of the readers, a PEM file; by default `tls.clientCa`."""
    readers: tuple[PlanReaderSettings, ...] = Field(
        default=(), description="a list of readers, each with name and namespaces"
    )
    """Who may read plans; required with `tls`. In plain text everybody may."""


def plans_crossings(plans: Any, tls: Any) -> Iterator[PydanticCustomError]:
    """Faults of the groups `plans` and `tls` that do not go together."""
    if plans is None or isinstance(plans, Faulty):
        return
    client_ca, readers = key_of(plans, "client_ca"), key_of(plans, "readers")
    if tls is None:
        if readers or client_ca is not None:
            message = "readers are known by their certificates: give the group tls too"
            yield crossed(message, "plans", "readers" if readers else "clientCa")
        return
    if not readers:
        message = (
            "readers is missing: list the names in certificates that may read plans, because the "
            "plans show the traffic of all tenants"
        )
        yield crossed(message, "plans")
    if client_ca is None and key_of(tls, "client_ca") is None:
        message = "readers are known by their certificates: give plans.clientCa or tls.clientCa"
        yield crossed(message, "plans")


def namespaces_by_reader(plans: PlansSettings) -> Mapping[str, frozenset[str] | None]:
    """A name in a certificate → the namespaces that its holder may read; None = every one."""
    found: dict[str, frozenset[str] | None] = {}
    for reader in plans.readers:
        before = found.get(reader.name, frozenset())
        every = before is None or EVERY_NAMESPACE in reader.namespaces
        found[reader.name] = None if every else frozenset((*(before or ()), *reader.namespaces))
    return found
