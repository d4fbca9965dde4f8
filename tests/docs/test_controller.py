"""The page of the controller names the options and the numbers of the command."""

import re
from pathlib import Path

import click

from foresail.commands.nodes import controller
from foresail.controller.election import Pace
from foresail.controller.known_plans import SILENT_SECONDS
from foresail.controller.nightly_tuning import NIGHT_HOUR
from foresail.controller.tuning_worker import SECONDS_MAX
from foresail.policy.demand_file import DAYS_LEARNED
from policies.rules.constants import RuleConstants
from replay.node_tuning import GAIN_MIN, HOLD_FACTORS, ORDER_FACTORS
from replay.pool_tuning import JUDGED_DAYS, PAST_DAYS_MIN, UNKNOWN_SHARE_MAX

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "controller.md").read_text()


def test_options_of_the_page_are_options_of_the_command() -> None:
    options = {name for one in controller.params if isinstance(one, click.Option)
               for name in one.opts}  # fmt: skip
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) <= options


def test_times_of_the_page_are_those_of_the_program() -> None:
    pace = Pace()
    assert f"it stops {pace.deadline_seconds:.0f} s after" in PAGE
    assert f"leads after {pace.lease_seconds:.0f} s" in PAGE
    assert f"no plan is heard for {SILENT_SECONDS / 60:.0f} minutes" in PAGE
    assert f"The last {DAYS_LEARNED:.0f} days count" in PAGE


def test_numbers_of_the_nightly_choice_are_those_of_the_program() -> None:
    section = PAGE.partition("## Constants chosen again each night")[2].partition("\n## ")[0]
    holds, orders = (" ".join(f"{one:g}".removeprefix("0") for one in grid)
                     for grid in (HOLD_FACTORS, ORDER_FACTORS))  # fmt: skip
    words = " ".join(section.split())
    assert f"holds {holds}, orders {orders}" in words
    shipped = RuleConstants()
    assert f"a hold counts ({shipped.hold_factor:g})" in words
    assert f"an order counts ({shipped.order_factor:g})" in words
    assert f"At {NIGHT_HOUR:02}:00" in words
    assert f"{GAIN_MIN:.0%}".replace("%", " %") in words
    assert (JUDGED_DAYS, PAST_DAYS_MIN + JUDGED_DAYS, UNKNOWN_SHARE_MAX) == (3, 4, 0.1)
    assert SECONDS_MAX == 600.0
    assert "after ten minutes" in words


def test_no_page_promises_that_a_lease_ends_without_a_round() -> None:
    """Karpenter reads no lease of ours: what is held stays, and is paid for, until a round."""
    promised = re.compile(
        r"(?:ends?|ended) (?:with|by) (?:its|their|the) leases?|if Foresail stops|in any mode"
        r"|any controller removes",
        re.IGNORECASE,
    )
    pages = [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.yaml"),
        *(ROOT / "policies" / "policy" / "shipped").glob("*.yaml"),
    ]
    found = [
        f"{page.relative_to(ROOT)}: {match[0]}"
        for page in pages
        for match in promised.finditer(" ".join(page.read_text().split()))
    ]
    assert found == []
    for name in ("runbook", "install", "levers", "controller", "when-things-fail", "metrics"):
        assert "foresail controller --withdraw" in (ROOT / "docs" / f"{name}.md").read_text()
