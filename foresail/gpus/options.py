"""The options of `foresail fleet`, and the files that they name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.catalogue import shipped
from fleet.cluster.follow.clients import ClusterUnreachableError, contexts
from fleet.snapshot import Known
from fleet.tally import By
from fleet.uses import MODEL_LABELS
from foresail.prices import price_list
from foresail.printed import FORMS
from scaler.errors import ForesailError, SourceMisconfiguredError
from scaler.sources.access import checked_url

IN_CLUSTER: Final = "in-cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """Which clusters to read, and how to show them."""

    contexts: tuple[str, ...] = ()
    """Contexts of the kubeconfig; without any the current one."""
    every_context: bool = False
    kubeconfig: Path | None = None
    files: tuple[Path, ...] = ()
    bys: tuple[By, ...] = ()
    prometheus: tuple[str, ...] = ()
    """`URL` for every cluster, or `CLUSTER=URL`."""
    token_file: Path | None = None
    """The bearer token for Prometheus."""
    idle_seconds: float = 1800.0
    prices: Path | None = None
    model_labels: tuple[str, ...] = ()
    form: str = "table"
    """Of the output: table, wide, json or yaml."""
    lead_times: bool = False
    """Show what was learned of starts."""
    starts_file: Path | None = None
    """Keeps starts from one run to the next."""

    @property
    def as_document(self) -> bool:
        """For a machine."""
        return self.form in FORMS

    def __post_init__(self) -> None:
        """Refuse options of which one would be ignored.

        Raises:
            ForesailError: files and clusters are both named.
        """
        if self.files and (self.contexts or self.every_context):
            raise ForesailError(
                "--file reads no cluster: leave it out, or --context and --all-contexts"
            )


def reference_data(options: FleetOptions) -> Known:
    """The catalogue with the operator's prices and labels.

    Raises:
        ForesailError: the price list cannot be used.
    """
    return Known(
        catalogue=shipped(),
        prices=price_list(options.prices),
        model_labels=(*options.model_labels, *MODEL_LABELS),
    )


def clusters(options: FleetOptions) -> Sequence[str]:
    """The contexts to read; `IN_CLUSTER` is the cluster that this process runs in.

    Raises:
        ForesailError: there is no kubeconfig, or no current context in it.
    """
    if options.contexts:
        return tuple(dict.fromkeys(options.contexts))
    try:
        every, current = contexts(options.kubeconfig)
    except ClusterUnreachableError as error:
        if options.kubeconfig is None and not options.every_context:
            return (IN_CLUSTER,)
        raise ForesailError(str(error)) from error
    if options.every_context:
        return every
    if current is None:
        raise ForesailError(f"no current context; name one of {', '.join(every)} with --context")
    return (current,)


def prometheus_urls(options: FleetOptions) -> Mapping[str, str]:
    """The address of each cluster's Prometheus; the empty name stands for all other clusters.

    Raises:
        ForesailError: an address is not http or https, or has credentials in it.
    """
    found = {}
    for given in options.prometheus:
        cluster, equals, url = given.rpartition("=")
        if not equals or "://" in cluster:
            cluster, url = "", given
        try:
            # Clusters with one address share a Prometheus, however it is written.
            found[cluster] = checked_url(url).rstrip("/")
        except SourceMisconfiguredError as error:
            raise ForesailError(f"--prometheus: {error}") from error
    return found


def url_of(urls: Mapping[str, str], cluster: str) -> str | None:
    """The address of one cluster's Prometheus; None = it has none."""
    return urls.get(cluster) or urls.get("")


def bearer_token(options: FleetOptions) -> str | None:
    """The bearer token for Prometheus.

    Raises:
        ForesailError: its file cannot be read.
    """
    if options.token_file is None:
        return None
    try:
        return options.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ForesailError(f"--prometheus-token-file {options.token_file}: {error}") from error
