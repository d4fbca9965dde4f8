"""Settings of the sources: Prometheus servers, pods' own metrics pages, and OTLP receivers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import AnyHttpUrl, Field
from pydantic_core import PydanticCustomError
from typing_extensions import override

from foresail.ports.loopback import names_loopback
from foresail.settings.otlp import OtlpSettings
from foresail.settings.reading import ReadingSettings
from foresail.settings.values import File, Labels, Port, Seconds, SeriesLabels, Text, Url
from scaler.faults import crossed
from scaler.parts import Part

SOURCE_NAME: Final = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WAYS: Final = {
    "bearer_token_file": "bearerTokenFile",
    "basic": "basic",
    "sigv4": "sigv4",
    "google_metadata": "googleMetadata",
}
"""To prove who asks, each excluding the others; the name of each in the file."""


class SourceTlsSettings(Part):
    ca: File | None = None
    """The CA to trust in place of the system's, a PEM file."""
    certificate: File | None = None
    """The client certificate for mTLS, a PEM file; needs `key`."""
    key: File | None = None
    """The private key of `certificate`, a PEM file."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if (values["certificate"] is None) != (values["key"] is None):
            given = "key" if values["certificate"] is None else "certificate"
            yield crossed("certificate and key go together: give both or neither", given)


class ScrapeTlsSettings(SourceTlsSettings):
    server_name: Text | None = None
    """The name in the pods' certificates; by default the address of the page."""


class BasicSettings(Part):
    username: Text
    password_file: File


class Credentials(Part):
    """The credentials that Foresail sends to a source."""

    bearer_token_file: File | None = None
    """Sent as `Authorization: Bearer`; read again when the file changes."""
    basic: BasicSettings | None = None
    """HTTP basic authentication; excludes the bearer token."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        if values["bearer_token_file"] is not None and values["basic"] is not None:
            yield crossed("bearerTokenFile and basic exclude each other: give one", "basic")


class SigV4Settings(Part):
    region: Text
    """Such as `eu-central-1`."""
    credentials_file: File | None = None
    """In the format of `~/.aws/credentials`; by default from the environment."""
    profile: Text = "default"
    """Of `credentialsFile`."""


class PrometheusSettings(Credentials):
    url: Url
    """The address of the server, with its path prefix if it has one."""
    sigv4: SigV4Settings | None = None
    """Sign requests for Amazon Managed Service for Prometheus."""
    google_metadata: bool = False
    """Send the token that Google's metadata server gives to the pod's service account."""
    tls: SourceTlsSettings = SourceTlsSettings()
    headers: Labels = Field(default_factory=dict)
    """Sent with each query, such as `X-Scope-OrgID` for a tenant of Mimir, Thanos or Cortex."""
    namespace_label: Text | None = "namespace"
    """The label that must equal the ScaledObject's namespace; null reads all namespaces."""
    labels: SeriesLabels = Field(default_factory=dict)
    """Labels that each series must carry, such as `cluster`; a trigger cannot name them."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 8.0
    """Of one read with all its queries; shorter than `cycle.lookMax`, so that the error names the
    source."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        yield from super().crossings(values)
        given = [name for field, name in _WAYS.items() if values[field]]
        if len(given) > 1 and given != ["bearerTokenFile", "basic"]:  # which is said already
            yield crossed(f"{', '.join(_WAYS.values())} exclude each other: give one", given[-1])
        url = values["url"]
        if values["google_metadata"] and isinstance(url, AnyHttpUrl) and _is_open(url):
            message = "a token of the cloud would be sent in plain text: write it with https"
            yield crossed(message, "url")
        label, labels = values["namespace_label"], values["labels"]
        if isinstance(label, str) and isinstance(labels, dict) and label in labels:
            message = f"{label!r} is the namespaceLabel and comes from each trigger"
            yield crossed(message, "labels", label)


def _is_open(url: AnyHttpUrl) -> bool:
    """Whether what is sent there can be read on the way."""
    return url.scheme == "http" and not names_loopback(url.host or "")


class DnsSettings(Part):
    host: Text
    """A headless Service; each of its addresses is one pod."""
    port: Port


class PodsSettings(Part):
    labels: Labels = Field(default_factory=dict)
    """Labels of the engine's pods, in addition to the trigger's `matchLabels`."""
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
    """Namespaces whose ScaledObjects may read the pages of `urls` or `dns`."""
    tls: ScrapeTlsSettings | None = None
    """Read pods over https; without this group over http."""
    reading: ReadingSettings = ReadingSettings()
    timeout: Seconds = 3.0
    """Of one read: finding the targets and reading all their pages."""

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
        pattern=f"^{SOURCE_NAME.pattern}$",
        description="lower-case letters, digits and dashes, at most 63",
    )
    """The name that triggers give as their `source`."""
    prometheus: PrometheusSettings | None = None
    scrape: ScrapeSettings | None = None
    otlp: OtlpSettings | None = None

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        kinds = ("prometheus", "scrape", "otlp")
        if sum(values[kind] is not None for kind in kinds) != 1:
            yield crossed(f"give exactly one of {', '.join(kinds)}")
