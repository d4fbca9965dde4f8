"""The page on nodes says what the rules, the policies and the picture do."""

import re

import pytest

from fleet.reasons import Reason
from foresail.policy.shown import NamedPool, resolved
from foresail.replaying.node_plots import LABELS
from policies.policy.documents import policies_in
from policies.policy.shipped_policies import NAMES, shipped
from policies.rules.constants import RuleConstants
from tests.docs.snippets import ROOT, Kind, snippets

PATH = ROOT / "docs" / "nodes.md"
PAGE = PATH.read_text()
USD_PER_GPU_HOUR = 6.88
WAIT_MINUTES = 6
LONGEST_MINUTES = max(RuleConstants().windows_seconds) / 60


def rows(columns: int) -> list[list[str]]:
    lines = (line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line] for line in lines if len(line) == columns]


def test_the_worth_of_a_minute_is_worked_out_right() -> None:
    told = [row for row in rows(3) if row[0].startswith("`gpuMinutes")]

    assert [int(re.findall(r"\d+", row[0])[0]) for row in told] == [3, 10, 30]
    for worth, dollars, minutes in told:
        rho = int(re.findall(r"\d+", worth)[0])
        usd = float(re.findall(r"\$([0-9.]+)", dollars)[0])
        kept = min(RuleConstants().hold_factor * rho * WAIT_MINUTES, LONGEST_MINUTES)
        assert usd == pytest.approx(rho * USD_PER_GPU_HOUR / 60, abs=0.005)
        assert int(re.findall(r"\d+", minutes)[0]) == round(kept)


def test_the_policy_of_the_example_is_taken_and_its_dollars_are_as_told() -> None:
    (manifest,) = [one for one in snippets(PATH) if one.kind is Kind.MANIFEST]
    policies = policies_in({"chat.yaml": manifest.text})
    pool = NamedPool(name="h100", usd_per_hour=USD_PER_GPU_HOUR)
    rho = resolved(policies, pool, 0.0).rho

    assert f"= {round(rho)} GPU-minutes" in PAGE


def test_the_reasons_in_the_picture_are_named_as_it_names_them() -> None:
    told = {row[0]: row[1].strip("`") for row in rows(3) if row[1].strip("`") in set(Reason)}

    assert told == {label: reason.value for reason, label in LABELS.items()}


def test_the_ready_made_policies_are_worth_what_is_told() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(3) if row[0].strip("`") in NAMES}

    assert tuple(told) == NAMES
    for name, text in told.items():
        worth = shipped(name).spec.delayed_minute_worth.gpu_minutes
        assert text.startswith(f"{worth:g} GPU-minutes")


def test_the_picture_is_there_and_is_named_with_its_command() -> None:
    assert (ROOT / "docs" / "node-day.svg").exists()
    assert "make node-day" in PAGE
    assert re.search(r"^node-day:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert PATH.name in (ROOT / "README.md").read_text()
