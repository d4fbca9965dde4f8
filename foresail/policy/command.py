"""`foresail advise`: what policies would do now with the GPU nodes of clusters or files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fleet.cluster.kinds import PLANNING_KINDS
from foresail.clock import wall_clock
from foresail.gpus.options import FleetOptions, reference_data
from foresail.gpus.reading import read_once
from foresail.gpus.start_file import read_starts
from foresail.policy.advice import AdviceBasis, advice_of
from foresail.policy.advice_table import payload, render
from foresail.policy.demand_file import read_demand
from foresail.policy.shown import policies_named
from foresail.printed import print_document
from policies.policy.documents import agreed
from policies.policy.schema import CapacityPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviseOptions:
    """Whose nodes, which policies, and the past."""

    fleet: FleetOptions
    policies: tuple[str, ...]
    """Files, folders, or names of ready-made ones."""
    demand: Path | None = None
    """CSV of the past."""


async def show(options: AdviseOptions, console: Console) -> None:
    """Print what would be done now.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    starts_file = options.fleet.starts_file
    startups, refusal = read_starts(starts_file) if starts_file is not None else ({}, None)
    basis = AdviceBasis(
        policies=_policies(options.policies),
        known=reference_data(options.fleet),
        startups=startups,
        past=read_demand(options.demand) if options.demand is not None else None,
    )
    read, unreadable = await read_once(options.fleet, PLANNING_KINDS)
    advice = [advice_of(one, basis, wall_clock()) for one in read]
    unreadable += [refusal] if refusal is not None else []
    if options.fleet.as_document:
        print_document(payload(advice, unreadable), options.fleet.form, indent=None)
    else:
        console.print(render(advice, unreadable))


def _policies(names: Sequence[str]) -> tuple[CapacityPolicy, ...]:
    return agreed(policy for name in names for policy in policies_named(name))
