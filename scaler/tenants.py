"""What each namespace may ask for: sources, modes, pools, and how many objects.

Anyone who may write a ScaledObject in a namespace writes a trigger's metadata. These rules come
from the operator's settings. A namespace that no rule names may use nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scaler.errors import MetadataError
from scaler.message_text import limited
from scaler.trigger import PRIORITY_MAX, Mode, TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

EVERY_NAMESPACE: Final = "*"
REFUSED_OBJECTS_MAX: Final = 50
"""Of a namespace that may use nothing. Each gets the reason, and takes a place of all objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """The rule of some namespaces."""

    namespaces: Collection[str]
    sources: frozenset[str] | None = None
    """None = all."""
    address_prefixes: tuple[str, ...] | None = None
    """Of `serverAddress`; None = all that the settings allow anybody."""
    modes: frozenset[Mode] = frozenset(Mode)
    pools: frozenset[str] | None = None
    """None = all."""
    priority_max: float = PRIORITY_MAX
    """In a pool."""
    objects_max: int | None = None
    """None = the limit of every namespace."""


class TenantRules:
    """The rules of all namespaces; the first that names one counts, and `*` names every one."""

    def __init__(
        self, allowed: AllowedOptions, tenants: Sequence[Tenant] = (), *, objects_max: int
    ) -> None:
        """Take the rules.

        Args:
            allowed: what the settings allow anybody.
            tenants: without any, every namespace may use all of that.
            objects_max: of one namespace whose rule has no limit of its own; one that may use
                nothing has `REFUSED_OBJECTS_MAX` at most.
        """
        self._allowed = allowed
        self._tenants = tuple(tenants)
        self._objects_max = objects_max

    def admit(self, namespace: str, metadata: Mapping[str, str]) -> TriggerSpec:
        """The trigger spec of an object's metadata.

        Raises:
            MetadataError: it cannot be used, or not in this namespace.
        """
        tenant = self._tenant(namespace)
        if tenant is None:
            raise MetadataError(
                limited(
                    f"namespace {namespace!r} may not use this server: no entry of the operator's "
                    "settings (tenants) names it"
                )
            )
        return parse(metadata, self._narrowed(tenant))

    def objects_max(self, namespace: str) -> int:
        """The most objects of this namespace."""
        tenant = self._tenant(namespace)
        if tenant is None:
            return min(REFUSED_OBJECTS_MAX, self._objects_max)
        return self._objects_max if tenant.objects_max is None else tenant.objects_max

    def _tenant(self, namespace: str) -> Tenant | None:
        if not self._tenants:
            return Tenant(namespaces=(EVERY_NAMESPACE,))
        for tenant in self._tenants:
            if namespace in tenant.namespaces or EVERY_NAMESPACE in tenant.namespaces:
                return tenant
        return None

    def _narrowed(self, tenant: Tenant) -> AllowedOptions:
        """The options of a tenant; messages name no source that is not its own."""
        allowed = self._allowed
        sources = allowed.sources if tenant.sources is None else tenant.sources
        default = allowed.default_source
        if default not in sources:
            default = next(iter(sources)) if len(sources) == 1 else None
        prefixes = tenant.address_prefixes
        return replace(
            allowed,
            sources=frozenset(sources),
            default_source=default,
            address_prefixes=allowed.address_prefixes if prefixes is None else prefixes,
            modes=tenant.modes,
            pools=allowed.pools if tenant.pools is None else tenant.pools,
            priority_max=tenant.priority_max,
        )
