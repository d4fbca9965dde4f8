"""Settings of the tenants: what the ScaledObjects of a namespace may ask for."""

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from foresail.settings.values import AddressPrefix, Count, Text
from scaler.faults import crossed, quoted
from scaler.parts import Part, sound_items
from scaler.tenants import EVERY_NAMESPACE, Tenant
from scaler.trigger import PRIORITY_MAX, Mode


class TenantSettings(Part):
    """One rule; the first that names a namespace counts for it."""

    namespaces: tuple[Text, ...] = Field(
        min_length=1, description='a list of namespaces, or ["*"] for every one'
    )
    """The namespaces of the rule."""
    sources: tuple[Text, ...] | None = Field(default=None, description="a list of sources' names")
    """The sources that their triggers may name; by default all."""
    metadata_addresses: tuple[AddressPrefix, ...] | None = Field(
        default=None, description="a list of http or https addresses without credentials"
    )
    """Addresses that their `serverAddress` may start with; by default those of
    `limits.metadataAddresses`, and none where `sources` is given."""
    modes: tuple[Mode, ...] | None = Field(
        default=None, min_length=1, description="a list of advise, reactive and act"
    )
    """The modes that their triggers may have; by default all."""
    pools: tuple[Text, ...] = Field(default=(), description="a list of pools' names")
    """The pools that their triggers may name; by default none, because who may name a pool can
    take GPUs of the others there."""
    priority_max: float = Field(
        default=1.0,
        ge=1,
        le=PRIORITY_MAX,
        strict=True,
        allow_inf_nan=False,
        description="a number from 1 to 1000",
    )
    """The highest `priority` of their triggers in a pool."""
    objects_max: Count | None = None
    """The most triggers of each of these namespaces; by default
    `limits.objectsPerNamespaceMax`."""

    @property
    def rule(self) -> Tenant:
        addresses = self.metadata_addresses
        if addresses is None and self.sources is not None:
            addresses = ()
        return Tenant(
            namespaces=frozenset(self.namespaces),
            sources=None if self.sources is None else frozenset(self.sources),
            address_prefixes=addresses,
            modes=frozenset(self.modes or Mode),
            pools=frozenset(self.pools),
            priority_max=self.priority_max,
            objects_max=self.objects_max,
        )


def tenant_crossings(
    tenants: Any, names: list[str | None], pools: Collection[str] | None
) -> Iterator[PydanticCustomError]:
    """Faults of the rules that do not go together with each other, the sources or the pools.

    Args:
        names: of the sources; None for each that is faulty.
        pools: their names; None where one is faulty.
    """
    seen: set[str] = set()
    for index, one in sound_items(tenants, TenantSettings):
        for message in _named_before(one, seen):
            yield crossed(message, "tenants", index, "namespaces")
        seen.update(one.namespaces)
        for source in one.sources or ():
            if None not in names and source not in names:
                known = ", ".join(filter(None, names)) or "none"
                message = f"no source is named {quoted(source)}: it takes one of {known}"
                yield crossed(message, "tenants", index, "sources")
        for pool in one.pools:
            if pools is not None and pool not in pools:
                known = ", ".join(pools) or "none"
                message = f"no pool is named {quoted(pool)}: it takes one of {known}"
                yield crossed(message, "tenants", index, "pools")


def _named_before(rule: TenantSettings, seen: Collection[str]) -> Iterator[str]:
    """Why a rule never counts, or not for all its namespaces.

    Args:
        seen: namespaces of the rules before it.
    """
    if EVERY_NAMESPACE in seen:
        yield "a rule before this one names every namespace, so this one never counts"
        return
    for namespace in rule.namespaces:
        if namespace in seen:
            yield f"namespace {quoted(namespace)} is named by a rule before this one"
