"""The operator's settings: one YAML file, read once at start, every key checked.

Keys are the field names in camel case. The text under a field says what it does and why its default
is what it is; `docs/settings.md` shows the same. Secrets are named by file, never written here.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from foresail.located import Document
from scaler.durations import seconds
from scaler.errors import ForesailError
from scaler.spelling import nearest

Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]


class SettingsError(ForesailError):
    """Settings that cannot be used; one line a fault, each with its line number."""


class Part(BaseModel):
    """A group of settings: frozen, camel case, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class ListenSettings(Part):
    grpc: str = "0.0.0.0:6500"
    """Where KEDA asks, `host:port`."""
    http: str = "0.0.0.0:8080"
    """Health, metrics and explanations, `host:port`."""


class TlsSettings(Part):
    certificate: Path
    """PEM file of the gRPC server's certificate chain; read again when it changes."""
    key: Path
    """PEM file of its private key."""
    client_ca: Path | None = None
    """PEM file of the CA whose clients are admitted; without it any client is."""


class SourceTlsSettings(Part):
    ca: Path | None = None
    """PEM file of the CA to trust instead of the system's."""
    certificate: Path | None = None
    """PEM file of the client certificate, for mTLS; needs `key`."""
    key: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            message = "certificate and key go together: give both or neither"
            raise ValueError(message)
        return self


class BasicSettings(Part):
    username: str
    password_file: Path


class ReadingSettings(Part):
    window: Seconds = 60.0
    """Rates and percentiles are of this long; it must hold two scrapes."""
    stale_after: Seconds = 60.0
    """A sample older than this is no reading; at least twice the scrape interval."""


class PrometheusSettings(Part):
    url: AnyHttpUrl
    """The server's address, with its path prefix where it has one."""
    bearer_token_file: Path | None = None
    basic: BasicSettings | None = None
    tls: SourceTlsSettings = SourceTlsSettings()
    headers: dict[str, str] = {}
    """Sent with each query; a tenant for Mimir, Thanos or Cortex is `X-Scope-OrgID`."""
    namespace_label: str | None = "namespace"
    """The label that must equal the ScaledObject's namespace; null reads all namespaces."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 8.0
    """Shorter than a look at a feed may take, so that the error says which source it was."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.bearer_token_file is not None and self.basic is not None:
            message = "bearerTokenFile and basic exclude each other: give one"
            raise ValueError(message)
        return self


class DnsSettings(Part):
    host: str
    """A headless Service: each of its addresses is one pod."""
    port: int = Field(ge=1, le=65535)


class PodsSettings(Part):
    labels: dict[str, str] = {}
    """Labels of the engine's pods, beside the trigger's `matchLabels`; in its namespace."""
    port: int = Field(ge=1, le=65535)


class ScrapeSettings(Part):
    urls: tuple[AnyHttpUrl, ...] = ()
    """Fixed addresses of metrics pages."""
    dns: DnsSettings | None = None
    pods: PodsSettings | None = None
    path: str = "/metrics"
    bearer_token_file: Path | None = None
    tls: SourceTlsSettings | None = None
    """Present: pods are asked over https."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 3.0

    @model_validator(mode="after")
    def _one_discovery(self) -> Self:
        if sum((bool(self.urls), self.dns is not None, self.pods is not None)) != 1:
            message = "give exactly one of urls, dns, pods"
            raise ValueError(message)
        return self


class SourceSettings(Part):
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """What a trigger's `source` names."""
    prometheus: PrometheusSettings | None = None
    scrape: ScrapeSettings | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.prometheus is None) == (self.scrape is None):
            message = "give exactly one of prometheus, scrape"
            raise ValueError(message)
        return self


class CycleSettings(Part):
    period: Seconds = 15.0
    """How often every feed is looked at; more often than it is scraped shows nothing new."""
    step: Seconds = 60.0
    """Of the forecast's series: each value is the mean of the looks in it."""
    blind_max: Seconds = 300.0
    """How long the last plan stands without a usable reading; then KEDA gets an error."""
    look_max: Seconds = 10.0
    """How long one look at one feed may take."""
    looks_at_once: int = Field(default=16, ge=1, le=1000)
    """How many feeds are looked at together: the load that a source gets from us."""
    history: Annotated[float, BeforeValidator(seconds), Field(ge=0)] = 7 * 86400.0
    """How much past is read at start, a week for the week's profile; 0 reads none."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.look_max <= self.period <= self.step:
            message = (
                f"lookMax ({self.look_max:g} s), period ({self.period:g} s) and step "
                f"({self.step:g} s) must ascend"
            )
            raise ValueError(message)
        return self


class LimitSettings(Part):
    objects_max: int = Field(default=5000, ge=1)
    """How many triggers are known at a time; beyond, shard by namespace."""
    replicas_max: int = Field(default=1000, ge=1)
    """The most that any workload is ever given."""
    streams_per_connection_max: int = Field(default=20_000, ge=1)
    """KEDA holds two streams for each push trigger on one connection."""
    metadata_addresses: tuple[str, ...] = ()
    """Addresses that a trigger's `serverAddress` may start with; none unless listed."""


class Settings(Part):
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings | None = None
    """Without it KEDA is answered in plain text: for a laptop only."""
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    """Where metrics are read; at least one."""
    default_source: str | None = None
    """The source of triggers that name none; needed only where there are several."""
    cycle: CycleSettings = CycleSettings()
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _sources_named_once(self) -> Self:
        names = [source.name for source in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            message = f"two sources are named {', '.join(map(repr, repeated))}"
            raise ValueError(message)
        if self.default_source is not None and self.default_source not in names:
            message = f"defaultSource {self.default_source!r} is none of {', '.join(names)}"
            raise ValueError(message)
        return self

    @property
    def source_by_default(self) -> str | None:
        """The source of a trigger that names none: the default, or the only one."""
        return self.default_source or (self.sources[0].name if len(self.sources) == 1 else None)


def read(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        SettingsError: the file cannot be read, or holds faults; all of them are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        message = f"{path}: cannot be read: {reason}"
        raise SettingsError(message) from error
    try:
        document = Document(text)
    except ForesailError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error
    try:
        return Settings.model_validate(document.value)
    except ValidationError as error:
        faults = sorted(_fault(document, path, dict(fault)) for fault in error.errors())
        raise SettingsError("\n".join(text for _, text in faults)) from error


def _fault(document: Document, path: Path, fault: dict[str, object]) -> tuple[int, str]:
    location = fault["loc"]
    assert isinstance(location, tuple)
    line = document.line_of(location)
    name = ".".join(str(part) for part in location) or "settings"
    match fault["type"]:
        case "extra_forbidden":
            near = nearest(str(location[-1]), _keys_at(location[:-1]))
            text = "unknown key" + (f"; did you mean {near!r}?" if near else "")
        case "missing":
            text = "is missing"
        case _:
            given = fault["input"]
            shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
            text = str(fault["msg"]).removeprefix("Value error, ") + shown
    return line, f"{path}:{line}: {name}: {text}"


def _keys_at(location: tuple[object, ...]) -> frozenset[str]:
    """The keys that the group of settings at this place knows."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str):
            model = _groups(model).get(part, model)
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _groups(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The groups inside a group, by key."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        for candidate in _types_in(field.annotation):
            found[field.alias or name] = candidate
    return found


def _types_in(annotation: object) -> list[type[BaseModel]]:
    """The settings groups that a field's type mentions: `A`, `A | None`, `tuple[A, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner: tuple[object, ...] = getattr(annotation, "__args__", ())
    return [found for part in inner for found in _types_in(part)]
