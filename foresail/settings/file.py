"""The operator's settings: one YAML file, read once at start, with every key checked.

Keys are the field names in camel case. The text under a field says what the setting does, and why
its default is what it is; `docs/settings.md` lists the same. Secrets are named by file and never
written in the settings. The groups are in the modules beside this one: `sources`, `cycle`,
`serving`, `plans`, `external_metrics`, `pools`, `telemetry`, `tenants` and `watch`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError
from typing_extensions import override

from fleet.located import shortened
from foresail.settings.cycle import CycleSettings
from foresail.settings.external_metrics import ExternalMetricsSettings
from foresail.settings.plans import PlansSettings, plans_crossings
from foresail.settings.pools import GpuPoolSettings, pools_crossings
from foresail.settings.serving import LimitSettings, ListenSettings, StateSettings, TlsSettings
from foresail.settings.sources import SOURCE_NAME, SourceSettings
from foresail.settings.telemetry import TelemetrySettings
from foresail.settings.tenants import TenantSettings, tenant_crossings
from foresail.settings.values import COUNT_MAX, Text
from foresail.settings.watch import WatchSettings, watch_crossings
from scaler.faults import crossed, quoted
from scaler.parts import Faulty, Part, key_of, sound_items
from scaler.sources.catalogue import gateways, load, shipped
from scaler.spelling import nearest
from scaler.tenants import TenantRules
from scaler.trigger_parsing import AllowedOptions
from scaler.yaml_file import validated


class Settings(Part):
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings | None = None
    """Without this group the gRPC server uses plain text: for a laptop only."""
    sources: tuple[SourceSettings, ...] = Field(
        min_length=1, description="a list of sources, at least one"
    )
    """The sources of metrics; at least one."""
    default_source: Text | None = None
    """The source of triggers that name none; needed only if there are several."""
    cycle: CycleSettings = CycleSettings()
    limits: LimitSettings = LimitSettings()
    tenants: tuple[TenantSettings, ...] = Field(
        default=(), description="a list of rules, each with namespaces"
    )
    """What the ScaledObjects of each namespace may ask for; without rules, everything here."""
    pools: tuple[GpuPoolSettings, ...] = Field(default=(), description="a list of pools of GPUs")
    """Pools of GPUs of known size, whose workloads are planned together."""
    watch: tuple[WatchSettings, ...] = Field(
        default=(), description="a list of models to plan for without a ScaledObject"
    )
    """Models to plan for without a ScaledObject; those of mode `reactive` or `act` are answered
    over the external metrics API."""
    state: StateSettings = StateSettings()
    plans: PlansSettings | None = None
    """The Plans API, on a port of its own; without this group it is not served."""
    external_metrics: ExternalMetricsSettings | None = None
    """The external metrics API for an HPA without KEDA; without this group it is not served."""
    telemetry: TelemetrySettings | None = None
    """Foresail's own traces, metrics and logs over OTLP; without this group none are sent."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        names = list(_names(values["sources"]))
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                yield crossed(f"two sources are named {name!r}", "sources", index, "name")
        default = values["default_source"]
        known = [name for name in names if name is not None]
        if isinstance(default, str) and known == names and default not in known:
            near = nearest(shortened(default), known)
            message = f"no source is named {quoted(default)}: it takes one of " + (
                ", ".join(known) + (f"; did you mean {near!r}?" if near else "")
            )
            yield crossed(message, "defaultSource")
        pools = values["pools"]
        pool_names = None if isinstance(pools, Faulty) else [pool.name for pool in pools]
        yield from tenant_crossings(values["tenants"], names, pool_names)
        yield from pools_crossings(values["pools"])
        yield from watch_crossings(
            values["watch"],
            partial(_admit, values),
            is_answered=values["external_metrics"] is not None,
        )
        peers, tls = key_of(values["state"], "peers"), values["tls"]
        if peers and tls is not None and key_of(tls, "client_ca") is None:
            message = "peers know each other by their certificates: give tls.clientCa too"
            yield crossed(message, "state", "peers")
        yield from plans_crossings(values["plans"], tls)

    @property
    def allowed(self) -> AllowedOptions:
        """The allowed options of a trigger."""
        return AllowedOptions(
            engines=_engines(),
            gateways=frozenset(gateways()),
            sources=frozenset(source.name for source in self.sources),
            default_source=self.source_by_default,
            address_prefixes=self.limits.metadata_addresses,
            replicas_max=self.limits.replicas_max,
            pools=frozenset(self.pool_gpus),
        )

    @property
    def tenant_rules(self) -> TenantRules:
        """What each namespace may ask for."""
        return TenantRules(
            self.allowed,
            [one.rule for one in self.tenants],
            objects_max=self.limits.objects_per_namespace_max,
        )

    @property
    def pool_gpus(self) -> dict[str, int]:
        """The GPUs of each pool, by its name."""
        return {pool.name: pool.gpus for pool in self.pools}

    @property
    def source_by_default(self) -> str | None:
        """The source of a trigger that names none: the default, or the only one."""
        return self.default_source or (self.sources[0].name if len(self.sources) == 1 else None)


def _names(sources: Any) -> Iterator[str | None]:
    """The name of each source; None where it is faulty."""
    given = sources.given if isinstance(sources, Faulty) else sources
    for one in given if isinstance(given, list | tuple) else ():
        name = one.get("name") if isinstance(one, dict) else getattr(one, "name", None)
        yield name if isinstance(name, str) and SOURCE_NAME.fullmatch(name) else None


def _admit(values: Mapping[str, Any], namespace: str, metadata: Mapping[str, str]) -> None:
    """Refuse metadata of the watch list that a trigger of this namespace could not have.

    Raises:
        MetadataError: why not.
    """
    sound = not any(isinstance(values[name], Faulty) for name in ("sources", "tenants", "pools"))
    rules = [one.rule for one in values["tenants"]] if sound else []
    allowed = _allowed_for(values, metadata)
    _ = TenantRules(allowed, rules, objects_max=COUNT_MAX).admit(namespace, metadata)


def _allowed_for(values: Mapping[str, Any], metadata: Mapping[str, str]) -> AllowedOptions:
    """The allowed options of a model of the watch list: any value where the setting is faulty."""
    names = list(_names(values["sources"]))
    default, limits = values["default_source"], values["limits"]
    sources = {name for name in names if name is not None}
    if len(sources) == 1:
        default = default or next(iter(sources))
    if isinstance(default, Faulty) or not names or None in names:
        sources.add(default := metadata.get("source", ""))
    addresses, replicas_max = (metadata.get("serverAddress", ""),), COUNT_MAX
    if not isinstance(limits, Faulty):
        addresses, replicas_max = limits.metadata_addresses, limits.replicas_max
    pools = {pool.name for _, pool in sound_items(values["pools"], GpuPoolSettings)}
    return AllowedOptions(
        engines=_engines(),
        gateways=frozenset(gateways()),
        sources=frozenset(sources),
        default_source=default,
        address_prefixes=addresses,
        replicas_max=replicas_max,
        pools=frozenset(pools),
    )


def _engines() -> dict[str, bool]:
    """Each preset, and whether its metrics outlive the last replica."""
    return {name: load(name).survives_zero for name in shipped()}


def read(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        SettingsError: the file cannot be read, or has faults; the message names all of them.
    """
    return validated(path, Settings)
