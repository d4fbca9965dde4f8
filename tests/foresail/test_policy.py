"""`foresail policy`: check, see what holds for a pool, print what the schema makes."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from click.testing import CliRunner, Result

from foresail.cli import main
from policies.policy.shipped_policies import NAMES


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["policy", *arguments])


def test_it_shows_what_holds_for_a_pool_and_which_rule_says_so() -> None:
    shown = run(
        *("show", "latency-first", "--pool", "chat", "--capacity-type", "spot"),
        *("--gpus-per-node", "8", "--at", "2026-11-27T12:00+0000"),
    )

    assert shown.output == dedent("""\
        pool chat, policy latency-first, at Fri 2026-11-27 12:00 UTC
          mode            advise: nothing is changed
          delayed minute  worth 30 GPU-minutes (ρ)
          forecast trust  1
          warm floor now  1 node, until Fri 2026-11-27 20:00
          idle ceiling    $224.00 an hour, $40,000.00 a month
          spot hedge      50% on demand, 1 node to spare
          levers          all but quietHours
          quiet now       no
          hold lease      15m
          loading model   keeps its node for 30m
          constants       as they ship
          spotHedge by rule 'spot-only'
        """)


def test_a_rule_that_asks_for_what_was_not_given_is_named(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    rules = "  rules:\n    - {name: big, match: {generations: [h100-*]}, forecastTrust: 0.5}\n"
    file.write_text(run("print", "balanced").output + rules)
    note = "rule 'big' was not matched: it asks for --generation"

    assert note in run("show", str(file), "--pool", "chat").output
    given = run("show", str(file), "--pool", "chat", "--generation", "h100-sxm").output
    assert note not in given
    assert "forecastTrust by rule 'big'" in given


def test_a_policy_that_asks_for_what_was_not_given_is_named(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    pools = "spec:\n  pools: {names: [chat], generations: [h100-*]}"
    file.write_text(run("print", "balanced").output.replace("spec:", pools))
    note = "policy 'balanced' was not matched: it asks for --generation"

    unmatched = run("show", str(file), "--pool", "chat")
    assert unmatched.exit_code == 1
    assert note in unmatched.output
    assert note not in run("show", str(file), "--pool", "batch").output


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 1, selector: {}}\n")

    shown = run("show", str(file))

    assert shown.exit_code == 1
    assert shown.output == (
        f"{file}:2: kind: has the value 'Deployment': it takes CapacityPolicy\n"
    )


def test_it_shows_the_same_as_json() -> None:
    shown = json.loads(
        run(
            "show", "cost-first", "--pool", "chat", "--at", "2026-11-27T12:00+0000", "-o", "json"
        ).output
    )

    assert shown["pool"] == "chat"
    assert shown["atSeconds"] == 1795780800
    assert (shown["rho"], shown["holdLeaseSeconds"]) == (3, 600)
    assert shown["warmFloorUntilSeconds"] is None
    assert "quietHours" not in shown["levers"]


def test_without_a_pool_it_checks() -> None:
    assert run("show", "balanced").output == dedent("""\
        balanced: in order; policies: balanced
          balanced: a delayed minute is worth 10 GPU-minutes (ρ)
        """)


def test_without_a_pool_it_shows_each_worth_of_a_delayed_minute_as_it_is_stated(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text(
        dedent("""\
            apiVersion: foresail.io/v1alpha1
            kind: CapacityPolicy
            metadata: {name: chat}
            spec:
              delayedMinuteWorth: {usd: 2}
              rules:
                - {name: big, match: {generations: [h100-*]}, delayedMinuteWorth: {gpuMinutes: 30}}
                - {name: spot, match: {capacityTypes: [spot]}, forecastTrust: 0.5}
            """)
    )

    assert run("show", str(file)).output.splitlines()[1:] == [
        "  chat: a delayed minute is worth $2; --pool and --usd-per-hour show ρ",
        "  chat, rule 'big': a delayed minute is worth 30 GPU-minutes (ρ)",
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(["balansed"], "did you mean 'balanced'?", id="name"),
        pytest.param(["balanced", "--pool", "x", "--label", "a"], "KEY=VALUE", id="label"),
        pytest.param(["balanced", "--pool", "x", "--generation", "h9"], "no such GPU", id="gpu"),
    ],
)
def test_what_it_cannot_use_is_named(arguments: list[str], why: str) -> None:
    shown = run("show", *arguments)

    assert shown.exit_code != 0
    assert why in shown.output


def test_faults_of_a_file_and_a_pool_that_nothing_matches_end_with_status_1(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    text = run("print", "balanced").output
    file.write_text(text.replace("spec:", "spec:\n  pools: {names: [batch]}"))

    unmatched = run("show", str(file), "--pool", "chat")
    assert unmatched.exit_code == 1
    assert "pool 'chat': none of the policies matches it (balanced)" in unmatched.output

    file.write_text(text.replace("advise", "advice", 1).replace("mode: advise", "mode: advice"))
    broken = run("show", str(file))
    assert broken.exit_code == 1
    assert "did you mean 'advise'?" in broken.output


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_made_policy_is_printed_with_its_comments(name: str) -> None:
    printed = run("print", name).output

    assert printed.startswith("# For ")
    assert yaml.safe_load(printed)["metadata"]["name"] == name


def test_a_day_of_a_policy_that_is_not_there_is_refused() -> None:
    drawn = run("day", "balancd", "--svg", "day.svg")

    assert drawn.exit_code == 1
    assert "did you mean 'balanced'?" in drawn.output
