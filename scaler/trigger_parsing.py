"""From a trigger's metadata to its trigger spec, or to an error that names each wrong key.

The strings come from tenants, so they are checked here once and nowhere else. They name presets
and sources that the operator set up. An address is refused unless the operator listed it, because
anyone with write access to a namespace can write that text and KEDA passes it on unchanged.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from fleet.invalid import invalid, shown
from scaler.errors import MetadataError
from scaler.events import EventsLimitError
from scaler.limits import Limit
from scaler.message_text import FAULTS_LISTED_MAX, is_cut, limited, listed_faults
from scaler.spelling import nearest
from scaler.trigger import ALIASES, KEDA_KEYS, PRIORITY_MAX, Mode, TriggerSpec

_BESIDE_METADATA: Final = frozenset({"metricType", "name", "useCachedMetrics", "type"})
_FROM_ENV: Final = "FromEnv"
_REPEATED: Final = (
    "model",
    "matchLabels",
    "requesters",
    "inferenceServerConfig",
    "pairedWith",
    "serverAddress",
)
"""Keys of any text, which messages, logs and plans repeat: none of it may be a secret."""
_NOT_SHOWN: Final = "a value from the environment, which is not shown"
_SHOWN_CHARACTERS_MAX: Final = 120
_TOO_LONG: Final = {"model": Limit.MODEL, "serverAddress": Limit.SERVER_ADDRESS}
"""By key."""
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._~-]*")
"""A path without encoded signs, of which `%2e%2e` is one, and without a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedOptions:
    """The values that the operator's settings allow a trigger."""

    engines: Mapping[str, bool]
    """Engine preset → whether its metrics outlive the last replica (else no scaling to zero)."""
    sources: frozenset[str]
    default_source: str | None
    gateways: frozenset[str] = frozenset()
    """Presets that are read beside an engine alone."""
    address_prefixes: tuple[str, ...] = ()
    """Addresses that `serverAddress` may start with; empty refuses every address."""
    replicas_max: int = 1000
    modes: frozenset[Mode] = frozenset(Mode)
    pools: frozenset[str] = frozenset()
    """Pools of known size."""
    priority_max: float = PRIORITY_MAX
    """Of triggers that name a pool."""


def parse(metadata: Mapping[str, str], allowed: AllowedOptions) -> TriggerSpec:
    """The trigger spec of this metadata, checked against the allowed options.

    Raises:
        MetadataError: naming the wrong keys with their values, what is allowed, and the nearest
            spelling of an unknown one; a value from the environment is not shown.
    """
    wanted = {
        key.removesuffix(_FROM_ENV): value
        for key, value in metadata.items()
        if key not in KEDA_KEYS
    }
    hidden = {key.removesuffix(_FROM_ENV) for key in metadata if key.endswith(_FROM_ENV)}
    unknown = sorted(wanted.keys() - ALIASES.keys())
    # A spelling is looked for only where it is shown: the search takes a while.
    faults = [_from_env(key) for key in _REPEATED if key in hidden]
    faults += [_unknown_key(key, wanted[key], hidden) for key in unknown[:FAULTS_LISTED_MAX]]
    faults += unknown[FAULTS_LISTED_MAX:]
    known = {key: value for key, value in wanted.items() if key in ALIASES}
    try:
        parsed = TriggerSpec.model_validate(known)
    except ValidationError as error:
        faults += [
            _invalid(known, shown(at[:1], whole=""), why, hidden) for at, why in invalid(error)
        ]
        raise _metadata_error(faults, _limits_in(error)) from error
    faults += _not_allowed(parsed, allowed, hidden)
    if faults:
        address = parsed.server_address
        outside = address is not None and not _is_allowed_address(address, allowed)
        raise _metadata_error(faults, {Limit.SERVER_ADDRESS} if outside else ())
    return parsed.model_copy(
        update={
            "source": parsed.source or (None if parsed.server_address else allowed.default_source),
            "max_replicas": parsed.max_replicas or max(allowed.replicas_max, parsed.min_replicas),
        }
    )


def _metadata_error(faults: Sequence[str], limits: Collection[Limit]) -> MetadataError:
    whole = listed_faults(faults)
    message, found = limited(whole), set(limits)
    if len(faults) > FAULTS_LISTED_MAX:
        found.add(Limit.FAULTS)
    if is_cut(message, whole):
        found.add(Limit.MESSAGE)
    return MetadataError(message, limits=found)


def _limits_in(error: ValidationError) -> set[Limit]:
    """The limits that these faults are about."""
    found: set[Limit] = set()
    for fault in error.errors(include_url=False, include_input=False):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "string_too_long" and key in _TOO_LONG:
            found.add(_TOO_LONG[key])
        if isinstance(fault.get("ctx", {}).get("error"), EventsLimitError):
            found.add(Limit.EVENTS)
    return found


def _invalid(known: Mapping[str, str], key: str, text: str, hidden: Collection[str]) -> str:
    if not key:
        return text
    allowed = TriggerSpec.model_fields[ALIASES[key]].description
    if key not in known:
        return f"key {key!r} is missing: it takes {allowed}"
    return f"key {key!r} has the value {_value(known, key, hidden)}: it takes {allowed}"


def _from_env(key: str) -> str:
    return (
        f"key {key + _FROM_ENV!r} is not taken, because messages and plans repeat its value: "
        f"write it in the metadata as {key!r}"
    )


def _unknown_key(key: str, value: str, hidden: Collection[str]) -> str:
    name = _shown(key)
    if key in _BESIDE_METADATA:
        return f"key {name} belongs beside the trigger's metadata, not inside it"
    if "://" in value:
        return (
            f"key {name} is unknown and its value is an address: name a source of the operator's "
            "settings with 'source' instead"
        )
    near = nearest(key[:_SHOWN_CHARACTERS_MAX], ALIASES)
    if near:
        given = _value({key: value}, key, hidden)
        return f"key {name} (value {given}) is unknown: did you mean {near!r}?"
    # Its value may be a password for another scaler, so it is not shown.
    return f"key {name} is unknown: known keys: {', '.join(sorted(ALIASES))}"


def _not_allowed(
    parsed: TriggerSpec, allowed: AllowedOptions, hidden: Collection[str]
) -> list[str]:
    faults = []
    if parsed.engine not in allowed.engines:
        faults.append(_not_among("engine", parsed.engine, allowed.engines, hidden))
    elif parsed.min_replicas == 0 and not allowed.engines[parsed.engine]:
        faults.append(
            f"key 'minReplicas' has the value '0': the metrics of engine {parsed.engine!r} vanish "
            "with the last replica, so nothing could wake the workload; use 1 or more, or an "
            "engine whose gateway keeps reporting: "
            + (
                ", ".join(sorted(name for name, lasts in allowed.engines.items() if lasts))
                or "none"
            )
        )
    if parsed.mode not in allowed.modes:
        faults.append(_not_among("mode", parsed.mode.value, allowed.modes, hidden))
    if parsed.max_replicas is not None and parsed.max_replicas > allowed.replicas_max:
        given = _value({"maxReplicas": str(parsed.max_replicas)}, "maxReplicas", hidden)
        faults.append(
            f"key 'maxReplicas' has the value {given}: the operator's limit is "
            f"{allowed.replicas_max}"
        )
    if parsed.pool is not None and parsed.pool not in allowed.pools:
        listed = "pools, and tenants[].pools where there are tenants"
        fault = _not_among("pool", parsed.pool, allowed.pools, hidden)
        faults.append(f"{fault} (the operator's settings: {listed})")
    if parsed.pool is not None and parsed.priority > allowed.priority_max:
        given = _value({"priority": f"{parsed.priority:g}"}, "priority", hidden)
        faults.append(
            f"key 'priority' has the value {given}: the operator's limit is "
            f"{allowed.priority_max:g} (tenants[].priorityMax)"
        )
    faults += _gateway_faults(parsed, allowed, hidden)
    return faults + _source_faults(parsed, allowed, hidden)


def _gateway_faults(
    parsed: TriggerSpec, allowed: AllowedOptions, hidden: Collection[str]
) -> list[str]:
    lasting = {name for name, lasts in allowed.engines.items() if lasts}
    gateways = sorted(lasting | allowed.gateways)
    faults = []
    if parsed.gateway is not None and parsed.gateway not in gateways:
        faults.append(_not_among("gateway", parsed.gateway, gateways, hidden))
    source = parsed.gateway_source
    if source is not None and source not in allowed.sources:
        faults.append(_not_among("gatewaySource", source, allowed.sources, hidden))
    return faults


def _source_faults(
    parsed: TriggerSpec, allowed: AllowedOptions, hidden: Collection[str]
) -> list[str]:
    address = parsed.server_address
    if address is not None:
        if parsed.source is not None:
            return ["keys 'source' and 'serverAddress' exclude each other: give one"]
        if not _is_allowed_address(address, allowed):
            return [_refused("serverAddress", address, hidden)]
        return []
    if parsed.source is None and allowed.default_source is None:
        choice = ", ".join(sorted(allowed.sources)) or "none"
        return [f"key 'source' is missing: there are several or no sources (known: {choice})"]
    if parsed.source is not None and parsed.source not in allowed.sources:
        return [_not_among("source", parsed.source, allowed.sources, hidden)]
    return []


def _is_allowed_address(address: str, allowed: AllowedOptions) -> bool:
    return any(_within(address, prefix) for prefix in allowed.address_prefixes)


def _refused(key: str, address: str, hidden: Collection[str]) -> str:
    return (
        f"key {key!r} has the value {_value({key: address}, key, hidden)}: the operator's settings "
        "do not allow this address (limits.metadataAddresses); name a source with 'source' instead"
    )


def _within(address: str, prefix: str) -> bool:
    """Whether `address` is `prefix` or a path below it; `http://a` does not admit `http://a.evil`.

    Signs that can lead outside the prefix are never admitted: user info, dot segments, also the
    encoded ones that a server or proxy decodes, and what ends the path.
    """
    base = prefix.rstrip("/")
    below = address.startswith(base + "/") and _PLAIN_PATH.fullmatch(address[len(base) :])
    return address.rstrip("/") == base or (bool(below) and ".." not in address)


def _not_among(key: str, value: str, choices: Iterable[str], hidden: Collection[str]) -> str:
    near = None if key in hidden else nearest(value[:_SHOWN_CHARACTERS_MAX], choices)
    hint = f"; did you mean {near!r}?" if near else ""
    listed = ", ".join(sorted(choices)) or "none"
    given = _value({key: value}, key, hidden)
    return f"key {key!r} has the value {given}: it takes one of {listed}{hint}"


def _value(given: Mapping[str, str], key: str, hidden: Collection[str]) -> str:
    return _NOT_SHOWN if key in hidden else _shown(given[key])


def _shown(value: str) -> str:
    """The value for a message, cut, because events and logs carry it."""
    limit = _SHOWN_CHARACTERS_MAX
    return repr(value if len(value) <= limit else value[:limit] + "…")
