"""The picture of a day of nodes: `foresail policy day` draws it."""

import re

import numpy as np
import pytest
from rich.console import Console

from foresail.replaying.node_picture import picture
from foresail.replaying.node_plots import LABELS, STYLE
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.nodes import NodeReport, governed_pool, nodes_on
from foresail.replaying.plan import ReplayPlan
from replay.node_run import ReplicaDemand

HOUR = 3600


@pytest.fixture(scope="module")
def report() -> NodeReport:
    """A day of two replicas, and of eight in half of each hour from eight to sixteen."""
    question = NodeQuestion(
        policy="latency-first",
        gpus_per_node=2,
        usd_per_node_hour=10.0,
        consolidate_after_seconds=600.0,
    )
    changes = [(0, 2)]
    for hour in range(8, 16):
        changes += [(hour * HOUR, 8), (hour * HOUR + 1800, 2)]
    demand = ReplicaDemand(
        rule="foresail", changes=tuple(changes), past=np.full(30, 2.0), seconds=24 * HOUR
    )
    return nodes_on(
        governed_pool(question, ReplayPlan()), [demand], seed=1, console=Console(quiet=True)
    )


def test_both_days_stand_under_each_other_with_their_money(report: NodeReport) -> None:
    drawn = picture(report, "A day")
    alone, policy = (row.outcome for row in report.rows)

    first, second = re.findall(r'class="head"[^>]*>([^<]+)<', drawn)
    assert first == (
        f"Policy latency-first: ${policy.usd:,.0f} for the day, {policy.idle_hours:,.0f} idle"
        f" GPU-hours; {policy.delayed_pods} pods waited {policy.delayed_minutes:,.0f} minutes in"
        " all"
    )
    assert second.startswith(f"Karpenter alone: ${alone.usd:,.0f} for the day")
    assert drawn.count("<svg") == 3


def test_each_reason_is_named_once_and_has_a_colour_of_its_own(report: NodeReport) -> None:
    drawn = picture(report, "A day")
    found = {reason for row in report.rows for reason in row.outcome.idle_gpu_hours}

    assert len(found) >= 4
    for reason in found:
        assert len(re.findall(f">{LABELS[reason]}<", drawn)) == 1
        assert f'class="band area {reason.value.replace(" ", "-")}"' in drawn
    light = STYLE.partition("@media")[0]
    colours = re.findall(r"#[0-9a-f]{6}", light)
    assert len(colours) == len(set(colours)) == len(LABELS) + 2


def test_the_areas_are_as_high_as_the_gpus_that_are_paid(report: NodeReport) -> None:
    for row in report.rows:
        minutes = row.outcome.minutes
        paid = sum(minute.gpus for minute in minutes) / 60
        assert len(minutes) == 24 * 60
        assert paid == pytest.approx(row.outcome.gpu_hours)
