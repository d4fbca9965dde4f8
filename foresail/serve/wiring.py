"""Makes sources from the settings, and the binding of each trigger spec."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from zlib import crc32

from pydantic import AnyHttpUrl

from foresail.clock import wall_clock
from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from foresail.settings.file import Settings
from foresail.settings.otlp import OtlpSettings
from foresail.settings.reading import ReadingSettings
from foresail.settings.sources import (
    BasicSettings,
    PrometheusSettings,
    ScrapeSettings,
    ScrapeTlsSettings,
    SigV4Settings,
    SourceSettings,
    SourceTlsSettings,
)
from foresail.telemetry.installed import require_opentelemetry
from scaler.assembly import assemble
from scaler.decision.answers import Reference
from scaler.errors import SourceMisconfiguredError
from scaler.feed_key import FeedKey
from scaler.forecast.packed import SharedForecasters
from scaler.scope import Scope
from scaler.serving.feeds import Binding
from scaler.signals import Feed, LoneGroup
from scaler.sources.access import Basic, Tls
from scaler.sources.aws_access import SigV4
from scaler.sources.catalogue import gateways, load, shipped
from scaler.sources.gateway import FeedBehindGateway
from scaler.sources.google_access import GoogleMetadata
from scaler.sources.otlp import OtlpConfig, OtlpSource
from scaler.sources.preset import Preset
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_feed import PrometheusFeed
from scaler.sources.read_threads import ReadThreads
from scaler.sources.reading import Limits
from scaler.sources.refused_time import RefusedTime
from scaler.sources.requesters import FeedOfRequesters
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.sources.series_room import held_for_series
from scaler.sources.source_shares import SourceShares
from scaler.sources.targets import Discovery, DnsTargets, StaticTargets
from scaler.trigger import TriggerSpec

Source = PrometheusSource | ScrapeSource | OtlpSource


@dataclass(slots=True)
class Sources:
    """The sources and presets of one process, and the triggers' way to them."""

    presets: Mapping[str, Preset]
    by_name: dict[str, Source]
    cycle: CycleSettings
    threads: int
    """Of each Prometheus."""
    shares: SourceShares = field(default_factory=SourceShares)
    _forecasters: SharedForecasters = field(default_factory=SharedForecasters)
    _by_address: dict[tuple[str | None, str], PrometheusSource] = field(default_factory=dict)
    """Of triggers' namespace and `serverAddress`, as long as a feed reads them."""
    _threads_of_addresses: dict[str | None, ReadThreads] = field(default_factory=dict)
    """Of each such namespace: its addresses share their slots, and so their threads."""
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def of(cls, settings: Settings) -> "Sources":
        """The sources of the settings.

        Raises:
            SourceMisconfiguredError: an address or a file of one cannot be used.
        """
        presets = {name: load(name) for name in (*shipped(), *gateways())}
        pace = planning_settings(settings.cycle)
        # A look that has its slot must not wait for a thread: its time would run meanwhile.
        threads = pace.looks_at_once + pace.restores_at_once
        shares = SourceShares(
            series=held_for_series(settings.limits.series_mebibytes_max),
            period_seconds=settings.cycle.period,
        )
        by_name = {
            source.name: _source(source, threads, presets, shares) for source in settings.sources
        }
        return cls(presets, by_name, settings.cycle, threads, shares)

    def connect(self, reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        """The binding of one trigger.

        Raises:
            SourceMisconfiguredError: the source cannot serve the trigger spec.
        """
        preset = self.presets[trigger_spec.engine]
        scope = Scope(
            namespace=reference.namespace,
            model=trigger_spec.model,
            labels=trigger_spec.match_labels,
        )
        feed = self._feed(trigger_spec.source, trigger_spec.server_address, preset, scope)
        if trigger_spec.gateway is not None:
            feed = FeedBehindGateway(engine=feed, gateway=self._gateway(trigger_spec, scope))
        if trigger_spec.requesters or trigger_spec.inference_server_config:
            feed = FeedOfRequesters(
                engine=feed,
                requesters=self._of_fma(
                    "fma-requesters", trigger_spec.requesters, trigger_spec, scope
                ),
                actuations=self._of_fma(
                    "fma-actuations", trigger_spec.inference_server_config, trigger_spec, scope
                ),
            )
        assembly = assemble(
            trigger_spec,
            preset,
            step_seconds=self.cycle.step,
            step_offset_seconds=self._step_offset(scope),
            beside=self.cycle.also_forecast,
            forecasters=self._forecasters,
        )
        return Binding(
            key=FeedKey(
                source=trigger_spec.source,
                address=trigger_spec.server_address,
                engine=preset.engine,
                gateway=trigger_spec.gateway,
                gateway_source=trigger_spec.gateway_source,
                requesters=trigger_spec.requesters,
                inference_server_config=trigger_spec.inference_server_config,
                scope=scope,
                timezone=trigger_spec.timezone,
                events=trigger_spec.events,
                phase=trigger_spec.phase,
                reach_seconds=assembly.reach_seconds,
            ),
            source=str(trigger_spec.source or _addresses_of(scope.namespace)),
            feed=feed,
            assembly=assembly,
            # What is read beside an engine is read for each feed alone.
            group=feed.group if isinstance(feed, PrometheusFeed) else LoneGroup(),
        )

    def _step_offset(self, scope: Scope) -> float:
        """The turn at which a feed's steps end, the same in every replica of Foresail.

        At the end of a step a feed's forecasts are made, which is the larger part of its CPU time
        (docs/forecast.md, "Cost"). If all feeds did it in the same period, looks would be missed.
        """
        turns = max(1, int(self.cycle.step // self.cycle.period))
        return crc32(f"{scope.namespace}/{scope.model}".encode()) % turns * self.cycle.period

    def keep(self, in_use: Collection[FeedKey]) -> None:
        """Close the sources of all addresses that none of these feeds reads.

        A tenant may edit an address without end, and each was a source with connections of its own.
        """
        addresses = {(key.scope.namespace, key.address) for key in in_use}
        for of_namespace in [one for one in self._by_address if one not in addresses]:
            source = self._by_address.pop(of_namespace)
            closing = asyncio.create_task(
                self._close_address(of_namespace[0], source), name="close"
            )
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for source in self.by_name.values():
            await source.close()
        self.shares.close()
        self.keep(())
        await asyncio.gather(*self._closing)

    async def _close_address(self, namespace: str | None, source: PrometheusSource) -> None:
        await source.close()
        if all(one != namespace for one, _ in self._by_address):
            threads = self._threads_of_addresses.pop(namespace, None)
            if threads is not None:  # else the last but one is closed later than the last
                await threads.close()

    def _gateway(self, trigger_spec: TriggerSpec, scope: Scope) -> Feed:
        preset = self.presets[str(trigger_spec.gateway)].without_buckets()
        # The trigger's labels are those of the engine's pods.
        scope = Scope(namespace=scope.namespace, model=scope.model)
        if trigger_spec.gateway_source is not None:
            return self._feed(trigger_spec.gateway_source, None, preset, scope)
        return self._feed(trigger_spec.source, trigger_spec.server_address, preset, scope)

    def _of_fma(
        self, preset: str, name: str | None, trigger_spec: TriggerSpec, scope: Scope
    ) -> Feed | None:
        """A feed of Fast Model Actuation's; None where the trigger names nothing to read."""
        if name is None:
            return None
        # The trigger's labels are those of the engine's pods.
        scope = Scope(namespace=scope.namespace, model=name)
        source, address = trigger_spec.source, trigger_spec.server_address
        return self._feed(source, address, load(preset), scope)

    def _feed(self, name: str | None, address: str | None, preset: Preset, scope: Scope) -> Feed:
        if address is None:
            named = self.by_name.get(str(name))
            if named is None:
                known = ", ".join(sorted(self.by_name))
                message = f"source {name!r} is not in the settings (known: {known})"
                raise SourceMisconfiguredError(message)
            return named.feed(preset=preset, scope=scope)
        namespace = scope.namespace
        source = self._by_address.get((namespace, address))
        threads = self._threads_of_addresses.get(namespace)
        if threads is None:
            threads = ReadThreads(self.threads, _addresses_of(namespace))
        if source is None:
            settings = PrometheusSettings(url=AnyHttpUrl(address))
            config = _prometheus(address, settings, self.threads)
            # All addresses of a namespace are one reader: each could be another of one tenant's.
            config = replace(config, owner=_addresses_of(namespace))
            source = PrometheusSource(config, self.shares.refused_time, threads)
        feed = source.feed(preset=preset, scope=scope)
        # Kept only now: the source of a refused trigger would never be closed.
        self._by_address[namespace, address] = source
        self._threads_of_addresses[namespace] = threads
        return feed


def _addresses_of(namespace: str | None) -> str:
    """What shares slots, threads and memory: all addresses that a namespace's triggers give."""
    return f"serverAddress of namespace {namespace}"


def _source(
    settings: SourceSettings,
    threads: int,
    presets: Mapping[str, Preset],
    shares: SourceShares,
) -> Source:
    if settings.prometheus is not None:
        config = _prometheus(settings.name, settings.prometheus, threads)
        return PrometheusSource(config, shares.refused_time)
    if settings.scrape is not None:
        scrape = _scrape(settings.name, settings.scrape, shares.refused_time)
        return ScrapeSource(scrape, shares)
    if settings.otlp is not None:
        return _otlp(settings.name, settings.otlp, presets, shares)
    raise SourceMisconfiguredError(f"source {settings.name!r} has no kind, such as prometheus")


def _prometheus(name: str, settings: PrometheusSettings, threads: int) -> PrometheusConfig:
    return PrometheusConfig(
        name=name,
        url=str(settings.url).rstrip("/"),
        bearer_token_file=settings.bearer_token_file,
        basic=_basic(settings.basic),
        sigv4=_sigv4(settings.sigv4),
        google=GoogleMetadata(clock=wall_clock) if settings.google_metadata else None,
        tls=_tls(settings.tls),
        headers=settings.headers,
        namespace_label=settings.namespace_label,
        labels=settings.labels,
        limits=_limits(settings.reading),
        timeout_seconds=settings.timeout,
        concurrency=threads,
    )


def _scrape(name: str, settings: ScrapeSettings, refused_time: RefusedTime) -> ScrapeConfig:
    tls = settings.tls or ScrapeTlsSettings()
    return ScrapeConfig(
        name=name,
        discovery=_discovery(settings, refused_time),
        namespaces=_namespaces(settings.namespaces),
        bearer_token_file=settings.bearer_token_file,
        basic=_basic(settings.basic),
        tls=_tls(tls),
        tls_server_name=tls.server_name,
        limits=_limits(settings.reading),
        timeout_seconds=settings.timeout,
    )


def _otlp(
    name: str, settings: OtlpSettings, presets: Mapping[str, Preset], shares: SourceShares
) -> OtlpSource:
    require_opentelemetry(f"source {name!r}: otlp")
    # An extra: its libraries are there only where it is asked for.
    from scaler.sources.otlp_decoding import Decoder  # noqa: PLC0415

    config = OtlpConfig(
        name=name,
        namespaces=_namespaces(settings.namespaces),
        limits=_limits(settings.reading),
    )
    decoder = Decoder({name for preset in presets.values() for name in preset.spelled})
    return OtlpSource(config, decoder.decode, presets, wall_clock, shares)


def _namespaces(allowed: Collection[str] | None) -> frozenset[str] | None:
    """None where all may read."""
    return None if allowed is None or "*" in allowed else frozenset(allowed)


def _basic(settings: BasicSettings | None) -> Basic | None:
    if settings is None:
        return None
    return Basic(username=settings.username, password_file=settings.password_file)


def _sigv4(settings: SigV4Settings | None) -> SigV4 | None:
    if settings is None:
        return None
    return SigV4(
        region=settings.region,
        credentials_file=settings.credentials_file,
        profile=settings.profile,
        clock=wall_clock,
    )


def _limits(settings: ReadingSettings) -> Limits:
    return Limits(window_seconds=settings.window, stale_after_seconds=settings.stale_after)


def _discovery(settings: ScrapeSettings, refused_time: RefusedTime) -> Discovery:
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
            refused_time=refused_time,
        )
    return StaticTargets(*(str(url) for url in settings.urls))


def _tls(settings: SourceTlsSettings) -> Tls:
    return Tls(ca_file=settings.ca, cert_file=settings.certificate, key_file=settings.key)
