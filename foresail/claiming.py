"""`foresail claim`: a need as the object that Kubernetes takes, with the ranking behind it.

The output is one file to apply or to commit: the reasons are comments in it. It refuses to write
what nothing could meet.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from typing_extensions import override

from fleet.catalogue import Catalogue, shipped
from foresail.prices import generation_prices_in
from scaler.errors import ForesailError
from scheduler.admission import GivenBy
from scheduler.claim import (
    ALTERNATIVES_MAX,
    Manifest,
    NothingFitsError,
    claim_spec,
    content_name,
    template,
)
from scheduler.need_annotations import FIELDS, NeedError, need_of
from scheduler.plugged import affinity, plugged
from scheduler.ranking import NOT_NAMED, Candidate, Prices, Ranking, prices_of, rank


def options() -> list[click.Option]:
    """The facts of a need as options: the keys of a pod's annotations."""
    return [
        click.Option(
            [f"--{field.key}", field.of], metavar="TEXT", help=f"{field.what}: {field.takes}"
        )
        for field in FIELDS
    ]


def show(
    told: Mapping[str, str | None],
    *,
    given_by: GivenBy,
    name: str | None,
    namespace: str | None,
    prices_file: Path | None,
    as_json: bool,
) -> None:
    """Print what the need becomes.

    Args:
        told: text by the attribute of `Need` that it states.
        given_by: who hands out the GPUs.
        name: of the template; None = by its content.
        namespace: of the template; None = where it is applied.
        prices_file: YAML, dollars for a GPU's hour by generation.
        as_json: one object, with the whole ranking, in place of YAML with comments.

    Raises:
        ForesailError: the need or the prices cannot be used, or nothing serves the need.
    """
    catalogue = shipped()
    own = generation_prices_in(prices_file, catalogue) if prices_file else None
    texts = {field.key: text for field in FIELDS if (text := told.get(field.of)) is not None}
    try:
        need = need_of(texts, catalogue, called=lambda key: f"--{key}")
        prices = prices_of(catalogue, need.price_source, own)
        ranking = rank(catalogue, need, prices)
        if given_by is GivenBy.DRA:
            spec = claim_spec(ranking)
            made = template(spec, name=name or content_name(spec), namespace=namespace)
        else:
            made, ranking = _pod_part(catalogue, ranking, prices)
    except (NeedError, NothingFitsError, ValueError) as error:
        raise ForesailError(str(error)) from error
    if as_json:
        found = [_told(one) for one in ranking.candidates]
        print(json.dumps({"object": made, "unit": ranking.unit, "ranking": found}, indent=1))  # noqa: T201
        return
    print("\n".join(f"# {line}".rstrip() for line in _comments(ranking, catalogue, given_by)))  # noqa: T201
    print(yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=1000), end="")  # noqa: T201


def _pod_part(catalogue: Catalogue, ranking: Ranking, prices: Prices) -> tuple[Manifest, Ranking]:
    own = plugged(catalogue, ranking, prices)
    amount = {own.resource: str(own.gpus)}
    spec = {
        "affinity": affinity({}, own),
        "containers": [{"name": "engine", "resources": {"limits": amount}}],
    }
    return {"spec": spec}, own.ranking


def _comments(ranking: Ranking, catalogue: Catalogue, given_by: GivenBy) -> list[str]:
    most = ALTERNATIVES_MAX if given_by is GivenBy.DRA else len(ranking.candidates)
    taken, cut = ranking.feasible[:most], ranking.feasible[most:]
    out: dict[str, list[str]] = {}
    for one in ranking.candidates:
        if one.excluded is not None:
            name = "all others" if one.excluded == NOT_NAMED else one.generation.name
            out.setdefault(one.excluded, []).append(name)
    lines = [
        f"foresail claim: {ranking.need}",
        f"{ranking.unit} at the roofline; {ranking.prices} prices as of {catalogue.as_of}",
        *(f"  {at}. {_line(one)}" for at, one in enumerate(taken, 1)),
        *(f"  -  {_line(one)}: beyond the {most} that a claim may list" for one in cut),
        *(f"  -  {', '.join(dict.fromkeys(names))}: {why}" for why, names in out.items()),
    ]
    if given_by is GivenBy.DEVICE_PLUGIN:
        lines += ["Merge this into the pod template; call the container as yours is called."]
    return lines


def _line(one: Candidate) -> str:
    cost = "no price known" if one.cost is None else f"{one.cost:.3g}"
    joined = "" if one.gpus == 1 or one.generation.nvlink_gb_s else ", joined by PCIe only"
    return f"{one.gpus} x {one.generation.name}: {cost}{joined}"


def _told(one: Candidate) -> dict[str, Any]:
    return {
        "generation": one.generation.name,
        "gpus": one.gpus,
        "memoryMibEach": one.each_mib,
        "usdPerGpuHour": one.usd_per_gpu_hour,
        "cost": one.cost,
        "excluded": one.excluded,
    }


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them; no anchors."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
