"""The shipped rule with a trigger that guesses: what it is given, and what a run then accounts."""

import pytest

from replay.policies.catalogue import kind_named
from replay.policies.variants import UnknownVariantError, name_of
from replay.policies.without import Part
from replay.profile import QWEN3_32B_FP8_H100, RequestMix
from replay.replay_input import served_in_time
from replay.score import Objective
from replay.simulate import Result, simulate
from replay.trigger import Overrides, metadata_of
from tests.replay.small import START_UP_SECONDS, small_input

TRUTH = {
    "model": "m",
    "leadTime": "345s",
    "replicaPromptTokensPerSecond": "4000",
    "replicaGeneratedTokensPerSecond": "1000",
    "prefillShare": "0.40",
    "replicaRequests": "64",
}
CUT_SECONDS = 5400


class TestMetadata:
    def test_a_factor_is_on_both_speeds_and_leaves_the_share_and_the_slots(self) -> None:
        assert Overrides(capacity=0.7, lead=2).metadata(TRUTH) == TRUTH | {
            "replicaPromptTokensPerSecond": "2800",
            "replicaGeneratedTokensPerSecond": "700",
            "leadTime": "690s",
        }

    def test_none_gives_the_model_alone(self) -> None:
        assert Overrides(capacity=None, lead=None).metadata(TRUTH) == {"model": "m"}

    def test_a_key_is_set_whatever_the_truth(self) -> None:
        keys = (("hold", "0s"), ("replicaRequests", "32"))
        changed = Overrides(keys=keys).metadata(TRUTH)
        assert changed == TRUTH | {"hold": "0s", "replicaRequests": "32"}

    def test_a_start_up_of_no_time_is_a_lead_time_of_a_second(self) -> None:
        metadata = metadata_of(
            QWEN3_32B_FP8_H100,
            RequestMix.constant(800, 200),
            Objective(),
            lead_seconds=0.0,
            replicas=(1, 8),
        )
        assert metadata["leadTime"] == "1s"


class TestNames:
    @pytest.mark.parametrize(
        ("overrides", "name"),
        [
            (Overrides(), "foresail"),
            (Overrides(capacity=0.7), "foresail+capacityTimes=0.7"),
            (Overrides(capacity=None, lead=None), "foresail+capacityTimes=none+leadTimes=none"),
            (
                Overrides(lead=2, keys=(("hold", "0s"), ("utilization", "1"))),
                "foresail+leadTimes=2+hold=0s+utilization=1",
            ),
            (
                Overrides(capacity=None, without=Part.TAIL),
                "foresail+capacityTimes=none+without=tail",
            ),
        ],
    )
    def test_overrides_have_one_name(self, overrides: Overrides, name: str) -> None:
        assert name_of(overrides) == name
        assert kind_named(name).name == name

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("foresail+holt=0s", "'holt' is no key of the trigger; did you mean 'hold'"),
            ("foresail+capacityTimes=half", "'half' is no factor: give a number above 0, or none"),
            ("foresail+leadTimes=-1", "'-1' is no factor"),
            ("foresail+without=tale", "'tale' is no part; known: forecast, tail, floor"),
            ("hpa-kv+hold=0s", "only foresail has variants"),
            ("hpa-kw", "only foresail has variants"),
        ],
    )
    def test_a_wrong_name_is_refused_with_its_reason(self, name: str, why: str) -> None:
        with pytest.raises(UnknownVariantError, match=why):
            kind_named(name)


TOLD = "+capacity=fixed+lead=fixed"
"""What is told stays, and nothing is learned."""


def run_of(name: str, *, cut_seconds: int | None = None) -> Result:
    drawn = small_input()
    kind = kind_named(name)
    policy = kind.make(drawn, kind.usual)
    return simulate(drawn, policy, name=name, knob=kind.usual, seed=1, cut_seconds=cut_seconds)


@pytest.mark.parametrize(
    ("name", "capacity", "lead_seconds"),
    [
        (f"foresail{TOLD}", 1.0, START_UP_SECONDS * 1.15),
        (f"foresail{TOLD}+capacityTimes=0.5", 0.5, START_UP_SECONDS * 1.15),
        (f"foresail{TOLD}+capacityTimes=2+leadTimes=2", 2.0, START_UP_SECONDS * 1.15 * 2),
    ],
)
def test_a_window_ends_with_the_figures_that_the_rule_reckoned_with(
    name: str, capacity: float, lead_seconds: float
) -> None:
    first, rest = run_of(name, cut_seconds=CUT_SECONDS).windows
    assert (first.until_seconds, rest.until_seconds) == (CUT_SECONDS, small_input().seconds)
    for window in (first, rest):
        assert window.figures is not None
        true = served_in_time(
            small_input().platform, window.figures.prompt_tokens, window.figures.output_tokens
        )
        # The trigger's prefillShare has two digits.
        assert window.figures.replica_requests_per_second / true == pytest.approx(
            capacity, rel=0.02
        )
        assert window.figures.lead_seconds == pytest.approx(lead_seconds)


def test_windows_add_up_to_the_run_and_change_nothing_of_it() -> None:
    whole, cut = run_of("foresail"), run_of("foresail", cut_seconds=CUT_SECONDS)
    assert whole.windows == ()
    assert (whole.gpu_hours, whole.attainment) == (cut.gpu_hours, cut.attainment)
    counted = [window.counted for window in cut.windows]
    assert sum(part.gpu_seconds for part in counted) / 3600 == pytest.approx(cut.gpu_hours)
    assert sum(part.requests for part in counted) == pytest.approx(cut.requests)


def test_a_cut_in_the_run_in_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cut_seconds 600 must lie after the run-in.*600 s"):
        run_of("static-mean", cut_seconds=600)


def test_half_the_capacity_costs_about_twice_as_much() -> None:
    halved, told = run_of(f"foresail{TOLD}+capacityTimes=0.5"), run_of(f"foresail{TOLD}")
    ratio = halved.gpu_hours / told.gpu_hours
    assert 1.5 < ratio < 2.1
