"""What `foresail fleet` is asked for, and the files that its options name."""

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
from scaler.errors import ForesailError

IN_CLUSTER: Final = "in-cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to show."""

    contexts: tuple[str, ...] = ()
    """Empty = the current one."""
    every_context: bool = False
    kubeconfig: Path | None = None
    files: tuple[Path, ...] = ()
    bys: tuple[By, ...] = ()
    prometheus: tuple[str, ...] = ()
    """`URL` for every cluster, or `CLUSTER=URL`."""
    token_file: Path | None = None
    """Of Prometheus."""
    idle_seconds: float = 1800.0
    prices: Path | None = None
    model_labels: tuple[str, ...] = ()
    as_json: bool = False


def known(wanted: Wanted) -> Known:
    """The catalogue with the operator's prices and labels.

    Raises:
        ForesailError: the price list cannot be used.
    """
    return Known(
        catalogue=shipped(),
        prices=price_list(wanted.prices),
        model_labels=(*wanted.model_labels, *MODEL_LABELS),
    )


def clusters(wanted: Wanted) -> Sequence[str]:
    """The contexts to read; one of its own name means the cluster we run in.

    Raises:
        ForesailError: there is no kubeconfig, or no current context in it.
    """
    if wanted.contexts:
        return tuple(dict.fromkeys(wanted.contexts))
    try:
        every, current = contexts(wanted.kubeconfig)
    except ClusterUnreachableError as error:
        if wanted.kubeconfig is None and not wanted.every_context:
            return (IN_CLUSTER,)
        raise ForesailError(str(error)) from error
    if wanted.every_context:
        return every
    if current is None:
        raise ForesailError(f"no current context; name one of {', '.join(every)} with --context")
    return (current,)


def servers(wanted: Wanted) -> Mapping[str, str]:
    """The Prometheus of each cluster; under an empty name that of all others.

    Raises:
        ForesailError: an address is none.
    """
    found = {}
    for told in wanted.prometheus:
        cluster, equals, url = told.rpartition("=")
        if not equals or "://" in cluster:
            cluster, url = "", told
        if not url.startswith(("http://", "https://")):
            raise ForesailError(f"--prometheus {told!r}: no http or https address")
        found[cluster] = url
    return found


def token(wanted: Wanted) -> str | None:
    """The bearer token for Prometheus.

    Raises:
        ForesailError: its file cannot be read.
    """
    if wanted.token_file is None:
        return None
    try:
        return wanted.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ForesailError(f"--prometheus-token-file {wanted.token_file}: {error}") from error
