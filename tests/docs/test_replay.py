"""The page on replays says what the program does: its rules, its plan, its objective."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from foresail.replaying.plan import ReplayPlan
from replay.generated_day import DEFAULT
from replay.policies.catalogue import KINDS
from replay.score import Objective
from scaler.durations import parse_duration
from scaler.trigger import TriggerSpec
from scaler.yaml_file import validated

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "replay.md").read_text()
RULE = re.compile(r"\| `([a-z0-9-]+)` \| (.+) \| (.+) \| ([0-9.]+) \|")
PEERS = {name: kind for name, kind in KINDS.items() if name != "foresail"}
WORDS = {"nineteen": 19, "twenty": 20}
OBJECTIVE = (2.0, 0.06)


def test_every_rule_is_documented_as_it_is_and_no_other() -> None:
    rows = [row for line in PAGE.splitlines() if (row := RULE.fullmatch(line))]
    assert {row[1]: (row[2], row[3], float(row[4])) for row in rows} == {
        name: (kind.source, kind.knob, kind.usual) for name, kind in PEERS.items()
    }


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/replay.md"])
def test_rules_are_counted_as_many_as_there_are(page: str) -> None:
    text = " ".join((ROOT / page).read_text().split())
    count = r"(\d+|nineteen|twenty)"
    places = (rf"rules of today, {count}\b", rf"print all {count}\b",
              rf"\b{count} (?:other rules|others|rules|peers)\b")  # fmt: skip
    told = [word.lower() for place in places for word in re.findall(place, text, re.IGNORECASE)]
    assert {WORDS.get(word) or int(word) for word in told} <= {len(PEERS)}


def test_the_plan_shown_is_one_that_is_taken(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(dedent(PAGE.partition("  ```yaml\n")[2].partition("  ```")[0]))
    shown = validated(plan, ReplayPlan)
    assert (shown.ttft, shown.itl) == OBJECTIVE


def test_the_objective_is_the_same_wherever_nobody_names_one() -> None:
    trigger = {name: TriggerSpec.model_fields[name].default for name in ("ttft", "itl")}
    assert (trigger["ttft"], trigger["itl"]) == OBJECTIVE
    assert (ReplayPlan().ttft, ReplayPlan().itl) == OBJECTIVE
    for objective in (Objective(), DEFAULT.platform.objective):
        assert (objective.ttft_seconds, objective.itl_seconds) == OBJECTIVE


def test_the_example_asks_for_the_objective_that_is_replayed() -> None:
    example = yaml.safe_load_all((ROOT / "deploy" / "examples" / "scaledobject.yaml").read_text())
    (metadata,) = [
        trigger["metadata"]
        for document in example
        if document["kind"] == "ScaledObject"
        for trigger in document["spec"]["triggers"]
    ]
    assert (parse_duration(metadata["ttft"]), parse_duration(metadata["itl"])) == OBJECTIVE
