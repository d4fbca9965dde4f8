"""`foresail claim`: a need as the object that Kubernetes takes, with the ranking behind it.

The output is one file to apply or to commit: the reasons are comments in it. It refuses to write
what nothing could meet.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import yaml
from typing_extensions import override

from fleet.catalogue import Catalogue, shipped
from fleet.cluster.follow.api import Resource, UnreadableError, pages
from fleet.cluster.follow.clients import ClusterUnreachableError, connected
from fleet.cluster.kinds import SOURCES, Kind, record_of
from foresail.placement.claim_report import Report
from foresail.prices import generation_prices_in
from scaler.errors import ForesailError
from scheduler.admission import GivenBy
from scheduler.claim_template import Manifest, NothingFitsError, claim_spec, content_name, template
from scheduler.device_plugin import affinity, device_plugin_request
from scheduler.need_annotations import FIELDS, NeedError, need_of
from scheduler.ranking import Prices, Ranking, prices_of, rank


def options() -> list[click.Option]:
    """The facts of a need as options: the keys of a pod's annotations."""
    return [
        click.Option(
            [f"--{field.key}", field.of],
            metavar="TEXT",
            help=f"{field.what[0].upper()}{field.what[1:]}: {field.takes}.",
        )
        for field in FIELDS
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOptions:
    """What the command line says beside the need."""

    given_by: GivenBy
    """Who hands out the GPUs."""
    name: str | None
    """Of the template; None = by its content."""
    namespace: str | None
    """Of the template; None = where it is applied."""
    prices_file: Path | None
    """YAML, dollars for a GPU's hour by generation."""
    context: str | None
    """Of the cluster whose DeviceClasses count; None = no cluster is asked."""
    kubeconfig: Path | None


def show(stated: Mapping[str, str | None], options: ClaimOptions, *, as_json: bool) -> None:
    """Print what the need becomes.

    Args:
        stated: text by the attribute of `Need` that it states.
        options: whose GPUs, and what the object is called.
        as_json: one object, with the whole ranking, in place of YAML with comments.

    Raises:
        ForesailError: the need or the prices cannot be used, the cluster cannot be read, or nothing
            serves the need.
    """
    catalogue = shipped()
    file = options.prices_file
    own = generation_prices_in(file, catalogue) if file else None
    texts = {field.key: text for field in FIELDS if (text := stated.get(field.of)) is not None}
    try:
        need = need_of(texts, catalogue, called=lambda key: f"--{key}")
        prices = prices_of(catalogue, need.price_source, own)
        ranking = rank(catalogue, need, prices, _device_classes(options))
        if options.given_by is GivenBy.DRA:
            spec = claim_spec(ranking)
            name = options.name or content_name(spec)
            made = template(spec, name=name, namespace=options.namespace)
        else:
            made, ranking = _pod_part(catalogue, ranking, prices)
    except (NeedError, NothingFitsError, ValueError) as error:
        raise ForesailError(str(error)) from error
    report = Report(
        ranking=ranking, catalogue=catalogue, given_by=options.given_by, cluster=options.context
    )
    if as_json:
        print(json.dumps({"object": made, **report.as_json()}, indent=1))  # noqa: T201
        return
    print("\n".join(f"# {line}".rstrip() for line in report.comments()))  # noqa: T201
    print(yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=1000), end="")  # noqa: T201


def _device_classes(options: ClaimOptions) -> frozenset[str] | None:
    """Those of the cluster that the options name; None = they name none."""
    if options.context is None:
        if options.kubeconfig is not None:
            raise ForesailError("--kubeconfig names no cluster alone: add --context NAME")
        return None
    if options.given_by is GivenBy.DEVICE_PLUGIN:
        raise ForesailError(
            "--context reads DeviceClasses, and device plugins have none: leave one of --context"
            " and --for device-plugin out"
        )
    try:
        return asyncio.run(_read_device_classes(options.context, options.kubeconfig))
    except ClusterUnreachableError as error:
        raise ForesailError(f"--context {options.context}: {error}") from error
    except UnreadableError as error:
        hint = "\nwithout DRA use --for device-plugin" if error.absent else ""
        raise ForesailError(f"--context {options.context}: {error}{hint}") from error


async def _read_device_classes(context: str, kubeconfig: Path | None) -> frozenset[str]:
    async with await connected(context, kubeconfig) as client:
        path = SOURCES[Kind.CLASS].path
        resource = Resource(client=client, path=path, record_of=partial(record_of, Kind.CLASS))
        found, _ = await pages(resource)
    return frozenset(one.name for one in found)


def _pod_part(catalogue: Catalogue, ranking: Ranking, prices: Prices) -> tuple[Manifest, Ranking]:
    own = device_plugin_request(catalogue, ranking, prices)
    amount = {own.resource: str(own.gpus)}
    spec = {
        "affinity": affinity({}, own),
        "containers": [{"name": "engine", "resources": {"limits": amount}}],
    }
    return {"spec": spec}, own.ranking


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them; no anchors."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
