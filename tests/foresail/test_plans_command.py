"""`foresail plans`: the table, JSON, and what --watch prints."""

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from foresail.cli import main
from foresail.plans.command import PlansOptions, show, watch
from foresail.plans.table import render, row
from foresail.plans_api.plan import Plan, plan_of
from scaler.decision.answers import Reference
from scaler.serving.plan_message import plan_message
from tests.contracts.plan_readers import NOW, PlansSite, named, status, unread
from tests.prometheus import free_port

pytestmark = pytest.mark.looptime(False)  # sockets need real time

A, B = named("a"), named("b")


def plan(reference: Reference = A) -> Plan:
    return plan_of(plan_message(status(reference), now_seconds=NOW))


def options(port: int, *, form: str = "table") -> PlansOptions:
    return PlansOptions(server=f"127.0.0.1:{port}", namespaces=(), tls=None, form=form)


def test_a_row_says_demand_forecast_plan_and_what_is_missing() -> None:
    # At 5 minutes q0.9 is 4,000 prompt tokens/s, and a replica serves 1,000.
    assert row(plan()) == (
        "team-a/a",
        "act",
        "1,000 + ?",
        "4.00 (q0.9 in 5m)",
        "+20%",
        "4",
        "4",
        "1 absent, 1 stale",
        "7s",
    )


def test_a_name_that_a_terminal_or_the_table_would_obey_is_shown_as_it_is() -> None:
    hostile = plan(named("\x1b[2J\u202e[/b]"))
    shown = io.StringIO()
    Console(file=shown, width=140).print(render([hostile], 140))
    assert "team-a/\\x1b[2J\\u202e[/b]" in shown.getvalue()


def test_what_is_not_known_is_a_question_mark() -> None:
    new = plan_of(plan_message(unread(A), now_seconds=NOW))

    assert row(new) == (
        "team-a/a", "act", "?", "?", "?", "?", "error: unavailable", "?", "?",
    )  # fmt: skip


def test_a_workload_of_the_watch_list_and_an_old_plan_are_told() -> None:
    watched = replace(plan(), on_watch_list=True, valid_for_seconds=None, failure="timed out")

    cells = row(watched)

    assert (cells[1], cells[6], cells[7]) == ("watch list", "does not ask", "not read")
    assert cells[8] == "7s, too old"


def test_80_columns_show_every_figure() -> None:
    console = Console(record=True, width=80, force_terminal=False, quiet=False)
    many = replace(plan(), on_watch_list=True)

    console.print(render([many], console.width))

    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    cells = [cell for line in lines for cell in line.split()]
    for figure in ("team-a/a", "1,000", "4.00", "+20%", "4", "absent,", "7s"):
        assert figure in cells


def wide() -> Console:
    return Console(record=True, width=160, force_terminal=False, quiet=False)


async def test_the_table_has_a_row_a_workload() -> None:
    site, console = PlansSite(), wide()
    site.plan(B)
    site.plan(A)
    async with site.served():
        await show(options(site.port), console)

    lines = [line.split() for line in console.export_text().splitlines() if "team-a" in line]
    assert [line[0] for line in lines] == ["team-a/a", "team-a/b"]


async def test_a_namespace_without_workloads_is_named() -> None:
    site, console = PlansSite(), wide()
    site.plan(A)
    async with site.served():
        await show(replace(options(site.port), namespaces=("team-c",)), console)

    assert "no workload of namespace team-c is known" in console.export_text()


async def test_json_has_zeros_and_leaves_out_what_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = PlansSite()
    site.plan(A, replicas=0)
    async with site.served():
        await show(options(site.port, form="json"), wide())

    (document,) = json.loads(capsys.readouterr().out)
    assert document["workload"]["metadata"] == {"model": "llama-70b", "mode": "act"}
    assert document["plan"]["planned"] == 0
    assert document["demand"] == {"promptTokens": 1000.0, "requests": 0.0}
    assert "failure" not in document


async def test_a_watch_prints_what_changed_and_not_that_time_passes() -> None:
    site, console = PlansSite(), wide()
    site.plan(A)
    async with site.served():
        watching = asyncio.create_task(watch(options(site.port), console))
        async with asyncio.timeout(60):
            while site.book.readers == 0:
                await asyncio.sleep(0)
            await _printed(console, "team-a/a")
            site.plan(A)  # a look that changes nothing
            site.plan(A, replicas=9)
            site.plan(B)
            await _printed(console, "team-a/b")
            site.forget(B)
            await _printed(console, "known no more")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    lines = [line for line in console.export_text().splitlines() if "team-a" in line]
    assert [line.split()[0] for line in lines] == ["team-a/a", "team-a/a", "team-a/b", "team-a/b"]
    assert "  9  9  " in lines[1]


async def _printed(console: Console, text: str) -> None:
    while text not in console.export_text(clear=False):
        await asyncio.sleep(0.01)


async def test_a_watch_as_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    site = PlansSite()
    site.plan(A)
    output = ""
    async with site.served():
        watching = asyncio.create_task(watch(options(site.port, form="json"), wide()))
        async with asyncio.timeout(60):
            while "snapshot" not in output:
                output += capsys.readouterr().out
                await asyncio.sleep(0.01)
            site.plan(A, replicas=5)
            while "changed" not in output:
                output += capsys.readouterr().out
                await asyncio.sleep(0.01)
            site.forget(A)
            while "removed" not in output:
                output += capsys.readouterr().out
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    events = [json.loads(line) for line in output.splitlines()]
    assert [next(iter(event)) for event in events] == ["snapshot", "changed", "removed"]
    assert events[-1]["removed"]["name"] == "a"


def test_nobody_there_is_one_line_and_status_1() -> None:
    port = free_port()

    result = CliRunner().invoke(main, ["plans", "--server", f"127.0.0.1:{port}"])

    assert result.exit_code == 1
    assert f"plans of 127.0.0.1:{port}: UNAVAILABLE: " in result.output
    assert "the group `plans` in the settings of `foresail serve`" in result.output


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (["--certificate", "c"], "--certificate and --key go together"),
        (["--certificate", "c", "--key", "k"], "--ca is missing"),
    ],
)
def test_certificates_that_would_not_be_used_are_refused(given: list[str], fault: str) -> None:
    result = CliRunner().invoke(main, ["plans", *given])

    assert result.exit_code == 2
    assert fault in result.output


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["plans", "--ca", str(tmp_path / "ca.crt")])

    assert result.exit_code == 1
    assert "ca.crt: No such file" in result.output
