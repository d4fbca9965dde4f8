"""From settings to parts that run: sources, what a trigger may choose, how its wishes are met."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from foresail.assembly import capacity_of
from foresail.settings import (
    BasicSettings,
    PrometheusSettings,
    ReadingSettings,
    ScrapeSettings,
    ScrapeTlsSettings,
    Settings,
    SourceSettings,
    SourceTlsSettings,
)
from scaler.board import Reference
from scaler.feed_key import FeedKey
from scaler.loop import LoopSettings
from scaler.metadata import TriggerMetadata
from scaler.sources.access import Basic, Tls
from scaler.sources.catalogue import Preset, load, shipped
from scaler.sources.prometheus import PrometheusConfig, PrometheusSource
from scaler.sources.reading import Limits
from scaler.sources.scope import Scope
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.sources.targets import Discovery, DnsTargets, StaticTargets
from scaler.watched import Connection

Source = PrometheusSource | ScrapeSource


@dataclass(slots=True)
class Sources:
    """The sources and presets of one process, and the triggers' way to them."""

    presets: Mapping[str, Preset]
    by_name: dict[str, Source]
    _by_address: dict[str, PrometheusSource] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Sources":
        """The sources of the settings.

        Raises:
            SourceMisconfiguredError: an address or a file of one cannot be used.
        """
        presets = {name: load(name) for name in shipped()}
        return cls(presets, {source.name: _source(source) for source in settings.sources})

    def connect(self, reference: Reference, wishes: TriggerMetadata) -> Connection:
        """The feed and the capacity for one trigger.

        Raises:
            SourceMisconfiguredError: the source cannot be asked what the trigger wants.
        """
        preset = self.presets[wishes.engine]
        scope = Scope(namespace=reference.namespace, model=wishes.model, labels=wishes.match_labels)
        source = self._source_of(wishes)
        return Connection(
            key=FeedKey(
                source=wishes.source,
                address=wishes.server_address,
                engine=preset.engine,
                scope=scope,
                timezone=wishes.timezone,
                events=wishes.events,
            ),
            feed=source.feed(preset=preset, scope=scope),
            capacity=capacity_of(wishes, preset),
        )

    async def close(self) -> None:
        for source in (*self.by_name.values(), *self._by_address.values()):
            await source.close()

    def _source_of(self, wishes: TriggerMetadata) -> Source:
        address = wishes.server_address
        if address is None:
            assert wishes.source is not None  # parsing fills it in
            return self.by_name[wishes.source]
        if address not in self._by_address:
            config = PrometheusConfig(name=address, url=address)
            self._by_address[address] = PrometheusSource(config)
        return self._by_address[address]


def loop_settings(settings: Settings) -> LoopSettings:
    cycle = settings.cycle
    return LoopSettings(
        look_period_seconds=cycle.period,
        step_seconds=cycle.step,
        blind_seconds_max=cycle.blind_max,
        look_seconds_max=cycle.look_max,
        looks_at_once=cycle.looks_at_once,
        history_seconds=cycle.history,
        beside=cycle.also_forecast,
    )


def _source(settings: SourceSettings) -> Source:
    if settings.prometheus is not None:
        return PrometheusSource(_prometheus(settings.name, settings.prometheus))
    assert settings.scrape is not None  # the settings hold exactly one kind
    return ScrapeSource(_scrape(settings.name, settings.scrape))


def _prometheus(name: str, settings: PrometheusSettings) -> PrometheusConfig:
    return PrometheusConfig(
        name=name,
        url=str(settings.url).rstrip("/"),
        bearer_token_file=settings.bearer_token_file,
        basic=_basic(settings.basic),
        tls=_tls(settings.tls),
        headers=settings.headers,
        namespace_label=settings.namespace_label,
        labels=settings.labels,
        limits=_limits(settings.reading),
        timeout_seconds=settings.timeout,
    )


def _scrape(name: str, settings: ScrapeSettings) -> ScrapeConfig:
    tls, allowed = settings.tls or ScrapeTlsSettings(), settings.namespaces
    return ScrapeConfig(
        name=name,
        discovery=_discovery(settings),
        namespaces=None if allowed is None or "*" in allowed else frozenset(allowed),
        bearer_token_file=settings.bearer_token_file,
        basic=_basic(settings.basic),
        tls=_tls(tls),
        tls_server_name=tls.server_name,
        limits=_limits(settings.reading),
        timeout_seconds=settings.timeout,
    )


def _basic(settings: BasicSettings | None) -> Basic | None:
    if settings is None:
        return None
    return Basic(username=settings.username, password_file=settings.password_file)


def _limits(settings: ReadingSettings) -> Limits:
    return Limits(window_seconds=settings.window, stale_after_seconds=settings.stale_after)


def _discovery(settings: ScrapeSettings) -> Discovery:
    scheme = "http" if settings.tls is None else "https"
    if settings.dns is not None:
        return DnsTargets(
            host=settings.dns.host, port=settings.dns.port, path=settings.path, scheme=scheme
        )
    if settings.pods is not None:
        # The Kubernetes client is 70 MiB that only this kind of source needs.
        from scaler.sources.pods import PodTargets  # noqa: PLC0415

        return PodTargets(
            port=settings.pods.port,
            path=settings.path,
            scheme=scheme,
            labels=settings.pods.labels,
        )
    return StaticTargets(*(str(url) for url in settings.urls))


def _tls(settings: SourceTlsSettings) -> Tls:
    return Tls(ca_file=settings.ca, cert_file=settings.certificate, key_file=settings.key)
