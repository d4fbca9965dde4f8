"""`foresail plans`: prints the plans of a running `foresail serve`, once or as they change."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, assert_never

from rich.console import Console

from foresail.client import Changed, ClientTls, Event, Plans, Removed, Snapshot
from foresail.plans.table import decided, payload, render, row, shown
from foresail.printed import FORMS, print_document
from scaler.decision.answers import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansOptions:
    """What `foresail plans` was asked."""

    server: str
    namespaces: tuple[str, ...]
    tls: ClientTls | None
    form: str = "table"
    """Of the output: table, wide, json or yaml."""

    @property
    def as_document(self) -> bool:
        """For a machine."""
        return self.form in FORMS


async def show(options: PlansOptions, console: Console) -> None:
    """Print the plans.

    Raises:
        ForesailError: the server refuses or does not answer.
    """
    async with _plans(options) as plans:
        found = await plans.list(seconds_max=0.0)
    if options.as_document:
        print_document([payload(plan) for plan in found], options.form)
    elif found:
        console.print(render(found, console.width))
    else:
        of = f" of namespace {' or '.join(options.namespaces)}" if options.namespaces else ""
        console.print(
            f"no workload{of} is known: KEDA asked about none, and none is on the watch list",
            soft_wrap=True,
        )


async def watch(options: PlansOptions, console: Console) -> None:
    """Print the plans, and then each that changed; without end.

    Raises:
        ForesailError: the server refuses.
    """
    printed: dict[Reference, tuple[str, ...]] = {}
    async with _plans(options) as plans, aclosing(plans.watch()) as events:
        async for event in events:
            if options.as_document:
                print_document(_document(event), options.form, indent=None)
            else:
                _print_change(event, printed, console)


def _plans(options: PlansOptions) -> Plans:
    return Plans(options.server, namespaces=options.namespaces, tls=options.tls)


def _document(event: Event) -> dict[str, Any]:
    match event:
        case Snapshot(plans=plans):
            body: dict[str, Any] = {"snapshot": [payload(plan) for plan in plans]}
        case Changed(plan=plan):
            body = {"changed": payload(plan)}
        case Removed(workload=workload):
            body = {
                "removed": {
                    "namespace": workload.namespace,
                    "name": workload.name,
                    "metadata": dict(workload.metadata),
                }
            }
        case _:
            assert_never(event)
    return body if event.version is None else {**body, "version": event.version}


def _print_change(
    event: Event, printed: dict[Reference, tuple[str, ...]], console: Console
) -> None:
    """Print what differs from what was printed; the age alone is no news."""
    match event:
        case Snapshot(plans=plans):
            printed.clear()
            printed.update((plan.workload, decided(plan)) for plan in plans)
            console.print(render(plans, console.width))
        case Changed(plan=plan) if printed.get(plan.workload) != decided(plan):
            printed[plan.workload] = decided(plan)
            console.print("  ".join(row(plan)), soft_wrap=True, markup=False)
        case Removed(workload=workload) if printed.pop(workload, None):
            console.print(f"{shown(workload)}  known no more", soft_wrap=True, markup=False)
        case _:
            pass
