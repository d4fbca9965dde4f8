"""docs/plans-api.md: its example runs, its table is what the command prints."""

import asyncio
import io
import re
from typing import Any

import pytest
from rich.console import Console

from foresail.plans.table import render
from foresail.plans_api.plan import plan_of
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.serving import plan_book, plans_service
from scaler.serving.plan_message import plan_message
from tests.contracts.plan_readers import NOW, PlansSite, named, status
from tests.docs.snippets import ROOT, Kind, snippets

PAGE = ROOT / "docs" / "plans-api.md"


def example() -> dict[str, Any]:
    (snippet,) = (one for one in snippets(PAGE) if one.kind is Kind.PYTHON)
    names: dict[str, Any] = {}
    exec(compile(snippet.text, snippet.where, "exec"), names)  # noqa: S102 - our own page
    return names


@pytest.mark.looptime(False)  # sockets need real time
async def test_the_example_finds_the_workload_whose_forecast_rises() -> None:
    site = PlansSite()
    site.plan(named("a"))  # q0.9 in five minutes keeps 4 replicas busy
    async with site.served(), asyncio.timeout(60):
        address = f"127.0.0.1:{site.port}"
        found = await example()["await_peak"](address, 3.5)
        waiting = asyncio.create_task(example()["await_peak"](address, 4.0))
        while site.book.readers == 0:
            await asyncio.sleep(0)
        site.plan(named("b", "team-b"))
        waiting.cancel()

    assert str(found.workload) == "team-a/a"


def test_the_table_shown_is_the_one_printed() -> None:
    console = Console(file=io.StringIO(), record=True, width=110)
    plan = plan_of(plan_message(status(named("a")), now_seconds=NOW))
    console.print(render([plan], console.width))
    printed = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]

    (shown,) = (one for one in snippets(PAGE) if one.kind is Kind.OUTPUT)
    assert shown.text.splitlines() == printed


def test_the_limits_named_are_those_of_the_server() -> None:
    text = " ".join(PAGE.read_text().split())

    assert f"at most {plans_service.PLANS_PER_SECOND_MAX:,} plans a second" in text
    assert f"more than {plan_book.REMOVALS_MAX:,} removals" in text
    assert (
        f"| `RESOURCE_EXHAUSTED` | {plans_service.READERS_MAX} readers watch already, or "
        f"{plans_service.READERS_OF_ONE_MAX} of one certificate; the same of "
        f"{plans_service.LISTS_MAX} and {plans_service.LISTS_OF_ONE_MAX} lists: ask again |"
    ) in text


def test_every_field_that_the_page_names_exists() -> None:
    section = PAGE.read_text().partition("## What a plan says")[2].partition("\n## ")[0]
    named_fields = set(re.findall(r"`([a-z_]+)(?:\.[a-z]+)?`", section)) - {"advise"}

    assert "valid_for_seconds" in named_fields
    assert named_fields <= set(pb.WorkloadPlan.DESCRIPTOR.fields_by_name)
