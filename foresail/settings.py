"""The operator's settings: one YAML file, read once at start, every key checked.

Keys are the field names in camel case. The text under a field says what it does and why its default
is what it is; `docs/settings.md` shows the same. Secrets are named by file, never written here.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import PydanticCustomError
from typing_extensions import override

from fleet.located import Document, UnreadableYamlError, shortened
from foresail.faults import crossed, faults_of, quoted
from foresail.parts import Faulty, Part, key_of, sound_items
from scaler.decision.tracker import DemandSeries
from scaler.durations import parse_duration
from scaler.errors import ForesailError, MetadataError
from scaler.sources.catalogue import load, shipped
from scaler.sources.reading import Limits
from scaler.spelling import nearest
from scaler.trigger import AllowedOptions, parse

_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(\d{1,5})")
_PORT_MAX: Final = 65_535
_BYTES_MAX: Final = 2**20
"""Of a settings file."""
_COUNT_MAX: Final = 1_000_000
_SOURCE_NAME: Final = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WATCH_NAME: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9.-]+")
_ASCENDING: Final = {"look_max": "lookMax", "period": "period", "step": "step"}
"""Durations that must, by field and by key."""
_LIMITS: Final = Limits()
_ANSWERING_KEYS: Final = ("mode", "otherTriggers")
"""Of a trigger, and without a meaning where nobody is answered."""

Address = TypeVar("Address", str, AnyHttpUrl)


class SettingsError(ForesailError):
    """Settings that cannot be used; one line a fault, each with its line number."""


def _listen(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1]) > _PORT_MAX:
        message = "not host:port"
        raise ValueError(message)
    return text


def _dialled(text: str) -> str:
    if int(_listen(text).rpartition(":")[2]) == 0:
        message = "a port that nobody listens on"
        raise ValueError(message)
    return text


def _without_credentials(address: Address) -> Address:
    """Messages, logs and labels name the address; what is in it is not a secret any more."""
    parts = urlsplit(str(address))
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        message = "not an address without credentials"
        raise ValueError(message)
    return address


def _metadata_text(value: object) -> object:
    """A trigger's value, which is a text in a ScaledObject and may be bare here."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise crossed("it takes a text or a number")
    return str(value)


# What a value must be stands in the description: an error shows it.
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0, allow_inf_nan=False, description="a duration above 0, such as 15s or 5m"),
]
SecondsFromZero = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, allow_inf_nan=False, description="a duration from 0, such as 0s or 7d"),
]
Listen = Annotated[
    str, AfterValidator(_listen), Field(description="host:port, such as 0.0.0.0:6500")
]
Dial = Annotated[
    str,
    AfterValidator(_dialled),
    Field(description="host:port, such as foresail.foresail.svc.cluster.local:6500"),
]
Url = Annotated[
    AnyHttpUrl,
    AfterValidator(_without_credentials),
    Field(description="an http or https address without credentials, such as http://server:9090"),
]
AddressPrefix = Annotated[str, AfterValidator(_without_credentials)]
File = Annotated[Path, Field(description="the path of a file")]
Folder = Annotated[Path, Field(description="the path of a folder")]
Port = Annotated[int, Field(ge=1, le=_PORT_MAX, strict=True, description="a port from 1 to 65535")]
Count = Annotated[
    int,
    Field(ge=1, le=_COUNT_MAX, strict=True, description=f"a whole number from 1 to {_COUNT_MAX}"),
]
Text = Annotated[str, Field(description="a text")]
MetadataText = Annotated[str, BeforeValidator(_metadata_text)]
Labels = Annotated[dict[str, str], Field(description="names, each with a text")]
SeriesLabels = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$")], str],
    Field(description="label names of letters, digits and underscores, each with a text"),
]


class ListenSettings(Part):
    grpc: Listen = "0.0.0.0:6500"
    """Where KEDA asks, `host:port`."""
    http: Listen = "0.0.0.0:8080"
    """Health, metrics and explanations, `host:port`."""


class TlsSettings(Part):
    certificate: File
    """PEM file of the gRPC server's certificate chain; read again when it changes."""
    key: File
    """PEM file of its private key."""
    client_ca: File | None = None
    """PEM file of the CA whose clients are admitted; without it any client is."""


class SourceTlsSettings(Part):
    ca: File | None = None
    """PEM file of the CA to trust instead of the system's."""
    certificate: File | None = None
    """PEM file of the client certificate, for mTLS; needs `key`."""
    key: File | None = None
    """PEM file of its private key."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if (values["certificate"] is None) != (values["key"] is None):
            given = "key" if values["certificate"] is None else "certificate"
            yield crossed("certificate and key go together: give both or neither", given)


class ScrapeTlsSettings(SourceTlsSettings):
    server_name: Text | None = None
    """The name in the pods' certificates, where it is not the address they are asked at."""


class BasicSettings(Part):
    username: Text
    password_file: File


class Credentials(Part):
    """How a source is asked for access."""

    bearer_token_file: File | None = None
    """Sent as `Authorization: Bearer`; read again when it changes."""
    basic: BasicSettings | None = None
    """HTTP basic authentication in place of the token."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if values["bearer_token_file"] is not None and values["basic"] is not None:
            yield crossed("bearerTokenFile and basic exclude each other: give one", "basic")


class ReadingSettings(Part):
    window: Seconds = _LIMITS.window_seconds
    """Rates and percentiles are of this long; it must hold two scrapes."""
    stale_after: Seconds = _LIMITS.stale_after_seconds
    """A sample older than this is no reading; at least twice the scrape interval."""


class PrometheusSettings(Credentials):
    url: Url
    """The server's address, with its path prefix where it has one."""
    tls: SourceTlsSettings = SourceTlsSettings()
    headers: Labels = Field(default_factory=dict)
    """Sent with each query; a tenant for Mimir, Thanos or Cortex is `X-Scope-OrgID`."""
    namespace_label: Text | None = "namespace"
    """The label that must equal the ScaledObject's namespace; null reads all namespaces."""
    labels: SeriesLabels = Field(default_factory=dict)
    """Labels that each series must carry, `cluster` on a store of many; no trigger may name one."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 8.0
    """Shorter than a look at a feed may take, so that the error says which source it was."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        yield from super().crossings(values)
        label, labels = values["namespace_label"], values["labels"]
        if isinstance(label, str) and isinstance(labels, dict) and label in labels:
            message = f"{label!r} is the namespaceLabel and comes from each trigger"
            yield crossed(message, "labels", label)


class DnsSettings(Part):
    host: Text
    """A headless Service: each of its addresses is one pod."""
    port: Port


class PodsSettings(Part):
    labels: Labels = Field(default_factory=dict)
    """Labels of the engine's pods, beside the trigger's `matchLabels`; in its namespace."""
    port: Port


class ScrapeSettings(Credentials):
    urls: tuple[Url, ...] = ()
    """Fixed addresses of metrics pages."""
    dns: DnsSettings | None = None
    pods: PodsSettings | None = None
    path: str = Field(default="/metrics", pattern=r"^/", description="a path that begins with /")
    namespaces: tuple[Text, ...] | None = Field(
        default=None, description='a list of namespaces, or ["*"] for every one'
    )
    """Whose ScaledObjects may read the pages of `urls` or `dns`: pages name no tenant."""
    tls: ScrapeTlsSettings | None = None
    """Present: pods are asked over https."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 3.0

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        yield from super().crossings(values)
        given = (bool(values["urls"]), values["dns"] is not None, values["pods"] is not None)
        if sum(given) != 1:
            yield crossed("give exactly one of urls, dns, pods")
        elif values["pods"] is not None and values["namespaces"] is not None:
            message = "pods are read in the trigger's own namespace only: remove namespaces"
            yield crossed(message, "namespaces")
        elif values["pods"] is None and not values["namespaces"]:
            yield crossed(
                "namespaces is missing: pages of urls and dns do not tell tenants apart, so list "
                'the namespaces whose ScaledObjects may read them, or ["*"] for every one'
            )


class SourceSettings(Part):
    name: str = Field(
        pattern=f"^{_SOURCE_NAME.pattern}$",
        description="lower-case letters, digits and dashes, at most 63",
    )
    """What a trigger's `source` names."""
    prometheus: PrometheusSettings | None = None
    scrape: ScrapeSettings | None = None

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if (values["prometheus"] is None) == (values["scrape"] is None):
            yield crossed("give exactly one of prometheus, scrape")


class CycleSettings(Part):
    period: Seconds = 15.0
    """How often every feed is looked at; more often than it is scraped shows nothing new."""
    step: Seconds = 60.0
    """Of the forecast's series: each value is the mean of the looks in it."""
    answer_max: Seconds = 300.0
    """How long an answer stands, counted from the reading behind it; then KEDA gets an error."""
    look_max: Seconds = 10.0
    """How long one look at one feed may take, without the wait for a slot."""
    looks_at_once: int = Field(
        default=16, ge=1, le=1000, strict=True, description="a whole number from 1 to 1000"
    )
    """How many feeds of one source are looked at together: the load that it gets from us."""
    history: SecondsFromZero = 7 * 86400.0
    """How much past is read at start, a week for the week's profile; 0 reads none."""
    also_forecast: tuple[Literal[DemandSeries.REQUESTS, DemandSeries.IN_FLIGHT], ...] = Field(
        default=(), description="a list of requests and in_flight"
    )
    """Shown by `explain` and the metrics; plans are made from the tokens. Each costs as much again
    as half of what a workload's forecast takes."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        ascending = {key: values[name] for name, key in _ASCENDING.items()}
        known = [(key, one) for key, one in ascending.items() if not isinstance(one, Faulty)]
        wrong = [pair for pair in pairwise(known) if pair[0][1] > pair[1][1]]
        if wrong:
            *first, last = [f"{key} ({one:g} s)" for key, one in known]
            (low, _), (high, _) = wrong[-1]
            message = f"{', '.join(first)} and {last} must ascend"
            yield crossed(message, "step" if high == "step" else low)


class LimitSettings(Part):
    objects_max: Count = 5000
    """How many triggers are known at a time; beyond, shard by namespace."""
    replicas_max: Count = 1000
    """The most that any workload is ever given."""
    streams_per_connection_max: Count = 20_000
    """KEDA holds two streams for each push trigger on one connection."""
    metadata_addresses: tuple[AddressPrefix, ...] = Field(
        default=(), description="a list of http or https addresses without credentials"
    )
    """Addresses that a trigger's `serverAddress` may start with; none unless listed."""


class WatchSettings(Part):
    """A model that is planned for and shown, and no replica of which Foresail touches.

    Further keys are those of a trigger's metadata: `leadTime`, `maxReplicas` and so on.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MetadataText]

    namespace: Text
    """Of the engines."""
    model: Text
    """As the engines' metrics show it."""
    engine: Text | None = None
    """The preset that reads the engines' metrics; the trigger's default without it."""
    given_name: str | None = Field(
        default=None,
        alias="name",
        pattern=_WATCH_NAME,
        description="lower-case letters, digits, dashes and dots, at most 253",
    )
    """Under which it is shown."""

    @property
    def name(self) -> str:
        """The name given, else the model's in lower case, with dashes for other characters."""
        return self.given_name or _NOT_OF_A_NAME.sub("-", self.model.lower()).strip("-.")

    @property
    def metadata(self) -> dict[str, str]:
        """What a trigger for the same model would say."""
        engine = {} if self.engine is None else {"engine": self.engine}
        return {"model": self.model, **engine, **self.__pydantic_extra__}


class StateSettings(Part):
    """Where forecasts, last plans and last answers are kept beyond a process."""

    directory: Folder | None = None
    """Where states are kept on disk, one folder a pod; without it a restart begins anew."""
    peers: Dial | None = None
    """A name that leads to all replicas, so that a joining one takes over what another knows."""
    every: Seconds = 300.0
    """How often each forecast is written; what came after it is read from the source again."""


class Settings(Part):
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings | None = None
    """Without it KEDA is answered in plain text: for a laptop only."""
    sources: tuple[SourceSettings, ...] = Field(
        min_length=1, description="a list of sources, at least one"
    )
    """Where metrics are read; at least one."""
    default_source: Text | None = None
    """The source of triggers that name none; needed only where there are several."""
    cycle: CycleSettings = CycleSettings()
    limits: LimitSettings = LimitSettings()
    watch: tuple[WatchSettings, ...] = Field(
        default=(), description="a list of models to plan for without a ScaledObject"
    )
    """Models that are planned for without a ScaledObject, and shown; nobody is answered."""
    state: StateSettings = StateSettings()

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
        yield from _watch_crossings(values)
        peers, tls = key_of(values["state"], "peers"), values["tls"]
        if peers and tls is not None and key_of(tls, "client_ca") is None:
            message = "peers know each other by their certificates: give tls.clientCa too"
            yield crossed(message, "state", "peers")

    @property
    def allowed(self) -> AllowedOptions:
        """The allowed options of a trigger."""
        return AllowedOptions(
            engines=_engines(),
            sources=frozenset(source.name for source in self.sources),
            default_source=self.source_by_default,
            address_prefixes=self.limits.metadata_addresses,
            replicas_max=self.limits.replicas_max,
        )

    @property
    def source_by_default(self) -> str | None:
        """The source of a trigger that names none: the default, or the only one."""
        return self.default_source or (self.sources[0].name if len(self.sources) == 1 else None)


def _names(sources: Any) -> Iterator[str | None]:
    """The name of each source; None where it is faulty."""
    given = sources.given if isinstance(sources, Faulty) else sources
    for one in given if isinstance(given, list | tuple) else ():
        name = one.get("name") if isinstance(one, dict) else getattr(one, "name", None)
        yield name if isinstance(name, str) and _SOURCE_NAME.fullmatch(name) else None


def _watch_crossings(values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
    names = set()
    for index, one in sound_items(values["watch"], WatchSettings):
        at, name = ("watch", index), (one.namespace, one.name)
        if name in names:
            yield crossed(f"two models are watched as {'/'.join(name)}: give one a name", *at)
        names.add(name)
        metadata = dict(one.metadata)
        for key in _ANSWERING_KEYS:
            if metadata.pop(key, None) is not None:
                message = f"a watched model takes no {key}: nobody is answered"
                yield crossed(message, *at, key)
        try:
            parse(metadata, _allowed_for(metadata, values))
        except MetadataError as error:
            yield crossed(str(error), *at)


def _allowed_for(metadata: Mapping[str, str], values: Mapping[str, Any]) -> AllowedOptions:
    """What a watched model may choose: anything that depends on a setting which is faulty."""
    names = list(_names(values["sources"]))
    default, limits = values["default_source"], values["limits"]
    sources = {name for name in names if name is not None}
    if len(sources) == 1:
        default = default or next(iter(sources))
    if isinstance(default, Faulty) or not names or None in names:
        sources.add(default := metadata.get("source", ""))
    addresses, replicas_max = (metadata.get("serverAddress", ""),), _COUNT_MAX
    if not isinstance(limits, Faulty):
        addresses, replicas_max = limits.metadata_addresses, limits.replicas_max
    return AllowedOptions(
        engines=_engines(),
        sources=frozenset(sources),
        default_source=default,
        address_prefixes=addresses,
        replicas_max=replicas_max,
    )


def _engines() -> dict[str, bool]:
    """Each preset, and whether its metrics outlive the last replica."""
    return {name: load(name).survives_zero for name in shipped()}


def read(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        SettingsError: the file cannot be read, or holds faults; all of them are named.
    """
    return validated(path, Settings)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _BYTES_MAX:
        raise SettingsError(f"{path}: cannot be read: larger than {_BYTES_MAX:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: cannot be read: not UTF-8 text") from error


Model = TypeVar("Model", bound=Part)


def validated(path: Path, model: type[Model]) -> Model:
    """A YAML file as a model of settings.

    Raises:
        SettingsError: the file cannot be read, or holds faults; all of them are named.
    """
    text = _text_of(path)
    try:
        document = Document(text)
    except UnreadableYamlError as error:
        message = f"{path}:{error.line}: {error}"
        raise SettingsError(message) from error
    faults, made = document.faults, None
    try:
        made = model.model_validate(document.value)
    except ValidationError as error:
        faults = [*faults, *faults_of(error, model, document)]
    if made is None or faults:
        raise SettingsError("\n".join(f"{path}:{line}: {text}" for line, text in sorted(faults)))
    return made
