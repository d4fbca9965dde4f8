"""A pod that needs NVLink between its GPUs is kept from nodes that are known not to give it."""

from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from scheduler.fit import Filtered
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.pods import NVLINK, pod_of
from tests.scheduler.objects import A100, claim, device_class, node, pod, put, resource_slice

PAIRS = (0, 0, 1, 1)
"""Two islands of two GPUs."""
QUAD = (0, 0, 0, 0)


def joined(name: str, **more: Any) -> dict[str, Any]:
    document = pod(name, **more)
    document["metadata"]["annotations"] = {NVLINK: "required"}
    return document


def intake(*events: tuple[Kind, dict[str, Any]]) -> Intake:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for kind, document in events:
        put(made, kind, document)
    return made


def claimable(*used: str, islands: tuple[int, ...] = PAIRS) -> Intake:
    """Node a, whose four GPUs are given by claims; those that are `used` are taken."""
    events: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.CLASS, device_class()),
        (Kind.NODE, node("a", product=A100, islands=islands)),
        (Kind.SLICE, resource_slice("a", *[A100] * 4)),
        (Kind.CLAIM, claim("wanted", (A100, 2))),
    ]
    if used:
        events += [
            (Kind.CLAIM, claim("held", (A100, 1), given=used, pool="a")),
            (Kind.POD, pod("holder", claims=("held",), on="a")),
        ]
    return intake(*events)


def filtered(made: Intake, document: dict[str, Any], *names: str) -> Filtered:
    asked = pod_of(document, made.known)
    return made.placement.filter(asked, list(names), now_seconds=0)


class TestDevicePlugin:
    def test_a_node_whose_islands_are_all_too_small_is_refused_for_good(self) -> None:
        made = intake(
            (Kind.NODE, node("pairs", gpus=4, islands=PAIRS)),
            (Kind.NODE, node("quad", gpus=4, islands=QUAD)),
        )
        result = filtered(made, joined("p", gpus=4), "pairs", "quad")
        assert result.passed == ["quad"]
        assert result.failed == {}
        assert result.unresolvable == {
            "pairs": "no NVLink island has more than 2 GPUs, and 4 are asked for"
        }

    def test_a_gpu_that_lost_its_links_leaves_no_island_for_the_whole_node(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4, islands=(0, 0, 0, 1))))
        assert filtered(made, joined("p", gpus=4), "a").passed == []
        assert filtered(made, joined("q", gpus=3), "a").passed == ["a"]

    def test_gpus_that_do_not_answer_are_joined_to_nothing(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4, islands=(None, None, None, None))))
        assert filtered(made, joined("p", gpus=2), "a").passed == []
        assert filtered(made, joined("q", gpus=1), "a").passed == ["a"]

    @pytest.mark.parametrize("offered", [4, 3])
    def test_one_that_does_not_answer_makes_no_node_fit_for_more(self, offered: int) -> None:
        # The device plugin withdraws it, sooner or later.
        made = intake((Kind.NODE, node("a", gpus=offered, islands=(0, None, 1, 1))))
        assert filtered(made, joined("p", gpus=3), "a").passed == []
        assert filtered(made, joined("q", gpus=2), "a").passed == ["a"]

    def test_one_that_answers_and_is_withdrawn_makes_no_node_fit_for_more_either(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=3, islands=PAIRS)))
        assert filtered(made, joined("p", gpus=3), "a").passed == []
        assert filtered(made, joined("q", gpus=2), "a").passed == ["a"]

    def test_which_gpus_are_free_is_not_known_so_an_island_may_be(self) -> None:
        made = intake(
            (Kind.NODE, node("a", gpus=4, islands=PAIRS)),
            *[(Kind.POD, pod(name, gpus=1, on="a")) for name in ("p", "q")],
        )
        assert filtered(made, joined("r", gpus=2), "a").passed == ["a"]


class TestClaims:
    def test_a_node_that_would_give_gpus_of_two_islands_is_refused_for_now(self) -> None:
        result = filtered(claimable("gpu-1"), joined("p", claims=("wanted",)), "a")
        assert result.passed == []
        assert result.failed == {"a": "the 2 GPUs that its claim would get are in 2 NVLink islands"}

    @pytest.mark.parametrize("used", [(), ("gpu-0", "gpu-1")])
    def test_a_whole_island_is_taken(self, used: tuple[str, ...]) -> None:
        result = filtered(claimable(*used), joined("p", claims=("wanted",)), "a")
        assert result.passed == ["a"]

    @pytest.mark.parametrize(
        ("used", "passes"), [((), False), (("gpu-0", "gpu-2"), True), (("gpu-0",), False)]
    )
    def test_islands_are_those_of_the_same_gpus_where_minors_have_another_order(
        self, used: tuple[str, ...], *, passes: bool
    ) -> None:
        # gpu-1 is the third GPU of the report, in the second island.
        devices = resource_slice("a", *[A100] * 4)
        second, third = (devices["spec"]["devices"][at]["attributes"] for at in (1, 2))
        second["uuid"], third["uuid"] = third["uuid"], second["uuid"]
        made = claimable(*used)
        put(made, Kind.SLICE, devices)
        result = filtered(made, joined("p", claims=("wanted",)), "a")
        assert bool(result.passed) is passes

    @pytest.mark.parametrize("withdrawn", [True, False])
    def test_one_that_does_not_answer_joins_nothing(self, *, withdrawn: bool) -> None:
        devices = resource_slice("a", *[A100] * 4)
        if withdrawn:
            del devices["spec"]["devices"][1]
        made = claimable()
        put(made, Kind.NODE, node("a", product=A100, islands=(0, None, 1, 1)))
        put(made, Kind.SLICE, devices)
        assert filtered(made, joined("p", claims=("wanted",)), "a").passed == []
        put(made, Kind.CLAIM, claim("held", (A100, 2), given=("gpu-0", "gpu-1"), pool="a"))
        put(made, Kind.POD, pod("holder", claims=("held",), on="a"))
        assert filtered(made, joined("p", claims=("wanted",)), "a").passed == ["a"]

    def test_a_report_about_other_gpus_turns_nothing_away(self) -> None:
        made = claimable("gpu-1")
        devices = resource_slice("a", *[A100] * 4)
        devices["spec"]["devices"][3]["attributes"]["uuid"] = {"string": "GPU-new"}
        put(made, Kind.SLICE, devices)
        assert filtered(made, joined("p", claims=("wanted",)), "a").passed == ["a"]

    def test_one_gpu_needs_no_link(self) -> None:
        made = claimable("gpu-1")
        put(made, Kind.CLAIM, claim("wanted", (A100, 1)))
        assert filtered(made, joined("p", claims=("wanted",)), "a").passed == ["a"]

    def test_a_claim_that_cannot_be_predicted_passes(self) -> None:
        made = claimable("gpu-1")
        constraints = [{"distinctAttribute": "a/b"}]
        put(made, Kind.CLAIM, claim("wanted", (A100, 2), constraints=constraints))
        assert filtered(made, joined("p", claims=("wanted",)), "a").passed == ["a"]


def test_without_the_annotation_islands_only_count_in_the_score() -> None:
    made = claimable("gpu-1")
    assert filtered(made, pod("p", claims=("wanted",)), "a").passed == ["a"]
    plugged = intake((Kind.NODE, node("a", gpus=4, islands=PAIRS)))
    assert filtered(plugged, pod("p", gpus=4), "a").passed == ["a"]


def test_a_node_without_a_report_and_one_that_nobody_knows_pass() -> None:
    made = intake((Kind.NODE, node("a", gpus=4)))
    assert filtered(made, joined("p", gpus=4), "a", "b").passed == ["a", "b"]


def test_room_for_a_group_counts_on_the_nodes_that_are_left() -> None:
    made = intake(
        (Kind.NODE, node("pairs", gpus=4, islands=PAIRS)),
        (Kind.NODE, node("quad", gpus=4, islands=QUAD)),
    )
    member = joined("p", gpus=4)
    member["metadata"]["labels"] = {"leaderworkerset.sigs.k8s.io/name": "llama"}
    member["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/size"] = "2"
    result = filtered(made, member, "pairs", "quad")
    assert result.passed == []
    assert result.failed["quad"].startswith("room for 1 of the 2 pods that group ")


def test_the_refusal_is_explained() -> None:
    made = intake((Kind.NODE, node("a", gpus=4, islands=PAIRS)))
    asked = pod_of(joined("p", gpus=4), made.known)
    result = made.placement.filter(asked, ["a"], now_seconds=0)
    made.placement.answers.filtered(asked, 1, result, note=None, now_seconds=0)
    answer = made.placement.answers.of("llm/p")
    assert answer is not None
    assert [(one.reason, one.nodes, one.for_now) for one in answer.refusals] == [
        ("no NVLink island has more than 2 GPUs, and 4 are asked for", 1, False)
    ]


def test_another_value_of_the_annotation_is_refused_by_its_name() -> None:
    document = pod("p", gpus=2)
    document["metadata"]["annotations"] = {NVLINK: "yes"}
    assert pod_of(document).fault == (
        "annotation foresail.io/nvlink is 'yes'; its only value is 'required'"
    )
    document["spec"]["nodeName"] = "a"
    running = pod_of(document)  # what it has counts
    assert (running.needs_nvlink, running.fault) == (False, None)
