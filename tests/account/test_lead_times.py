"""Lead times that are learned from starts, by place, by stage and with failed launches."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.account.lead_time_priors import PRIORS
from fleet.account.lead_times import HALF_LIFE_SECONDS, LeadTimes, learned
from fleet.account.places import Place
from fleet.account.retries import Failures, Outcome, failures_of, outcome_of, with_retries
from fleet.account.stage_durations import LOAD, TO_GPUS, node_durations, pod_durations
from fleet.account.starts import NodeStart, PodStart, Starts
from fleet.account.startups import StartUps
from fleet.account.survival import Curve, Duration
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload

NOW = 1_795_900_000.0
POOL = Place(pool="h100")
TYPE = Place(pool="h100", instance_type="p5.48xlarge", capacity_type=CapacityType.SPOT)
ZONE_A, ZONE_B = replace(TYPE, zone="a"), replace(TYPE, zone="b")
WHOLE = {"launched": 4.0, "registered": 84.0, "node_ready": 94.0, "initialized": 214.0}
QWEN, LLAMA = (
    Workload(kind="Deployment", namespace="llm", name=name) for name in ("qwen", "llama")
)


def exact(seconds: float, weight: float = 1.0) -> Duration:
    return Duration(over=seconds, up_to=seconds, weight=weight)


def machine(
    uid: str = "u",
    at: Place = ZONE_A,
    *,
    created: float = NOW,
    gpus: float | None = None,
    **more: Any,
) -> NodeStart:
    """A watched start; stages by the seconds from its creation to their end."""
    stages = {f"{name}_seconds": created + more.pop(name) for name in WHOLE if name in more}
    ended = more.pop("ended", None)
    given = {
        "pool": at.pool, "instance_type": at.instance_type, "capacity_type": at.capacity_type,
        "zone": at.zone, "watched": True, **stages, **more,
    }  # fmt: skip
    return NodeStart(
        uid=uid,
        name=uid,
        created_seconds=created,
        gpus_seconds=None if gpus is None else created + gpus,
        ended_seconds=None if ended is None else created + ended,
        **given,
    )


def dynamic(uid: str, seconds: float, at: Place = ZONE_A, **more: Any) -> NodeStart:
    """A machine that has all of its stages, and its GPUs when it is initialized."""
    return machine(uid, at, gpus=seconds, **(WHOLE | {"initialized": seconds}), **more)


def lead_times(*starts: NodeStart, pods: tuple[PodStart, ...] = (), now: float = NOW) -> LeadTimes:
    def ended(one: NodeStart | PodStart) -> bool:
        return one.over or one.ended_seconds is not None

    nodes = Starts(
        most=1000,
        ended=tuple(one for one in starts if ended(one)),
        starting={one.uid: one for one in starts if not ended(one)},
    )
    return learned(StartUps(nodes=nodes, pods=Starts(most=1000, ended=pods)), now)


def pod(uid: str = "p", workload: Workload | None = QWEN, **more: Any) -> PodStart:
    """A watched pod with GPUs; stages by the seconds from its creation to their end."""
    names = ("scheduled", "node_ready", "image_pulled", "started", "ready")
    stages = {f"{name}_seconds": NOW + more.pop(name) for name in names if name in more}
    given = {"takes_gpus": True, "watched": True, "place": ZONE_A} | stages | more
    return PodStart(uid=uid, name=uid, workload=workload, created_seconds=NOW, **given)


class TestDurations:
    def test_a_watched_machine_has_an_exact_duration_for_each_stage(self) -> None:
        assert node_durations(dynamic("u", 214), NOW + 500) == {
            "launched": exact(4), "registered": exact(80), "node ready": exact(10),
            "initialized": exact(120), "GPUs": exact(0), TO_GPUS: exact(214),
        }  # fmt: skip

    def test_a_stage_under_way_takes_longer_than_until_now_and_those_after_it_tell_nothing(
        self,
    ) -> None:
        assert node_durations(machine(launched=4.0), NOW + 500) == {
            "launched": exact(4),
            "registered": Duration(over=496, up_to=math.inf),
            TO_GPUS: Duration(over=500, up_to=math.inf),
        }

    def test_a_start_that_was_last_seen_before_a_gap_is_known_until_then(self) -> None:
        gone = machine(launched=4.0, ended=7200.0, seen_seconds=NOW + 200)

        assert node_durations(gone, NOW + 9000)[TO_GPUS] == Duration(over=200, up_to=math.inf)

    def test_gpus_that_a_reading_found_came_between_it_and_the_one_before(self) -> None:
        static = machine(gpus=300.0, seen_seconds=NOW + 240, **WHOLE)

        found = node_durations(static, NOW + 500)

        assert found["GPUs"] == Duration(over=26, up_to=86)
        assert found[TO_GPUS] == Duration(over=240, up_to=300)

    def test_a_stage_that_ended_before_it_began_tells_nothing(self) -> None:
        skewed = machine(launched=50.0, registered=20.0, node_ready=60.0)

        found = node_durations(skewed, NOW + 70)

        assert "registered" not in found
        # Both stages before it had ended at 50.
        assert found["node ready"] == exact(10)

    def test_a_creation_in_the_future_tells_nothing(self) -> None:
        assert node_durations(machine(), NOW - 60) == {}

    def test_a_stage_without_a_known_begin_tells_nothing(self) -> None:
        found = node_durations(machine(launched=4.0, initialized=214.0), NOW + 300)

        assert set(found) == {"launched", "GPUs", TO_GPUS}

    def test_a_start_that_was_not_watched_counts_half_as_it_tells(self) -> None:
        found = node_durations(replace(dynamic("u", 214), watched=False), NOW + 500)

        assert (found["registered"], found[TO_GPUS]) == (exact(80, 0.5), exact(214, 0.5))

    def test_one_that_was_not_watched_and_tells_more_than_an_hour_does_not_count(self) -> None:
        late = replace(machine(**(WHOLE | {"node_ready": 90000.0})), watched=False)

        assert set(node_durations(late, NOW + 90100)) == {"launched", "registered"} | {
            "GPUs", TO_GPUS,
        }  # fmt: skip

    def test_gpus_of_a_static_pool_that_nobody_watched_tell_nothing(self) -> None:
        static = replace(machine(gpus=90000.0, **WHOLE), watched=False)

        assert {"GPUs", TO_GPUS}.isdisjoint(node_durations(static, NOW + 90000))

    @pytest.mark.parametrize(
        ("seen", "ready", "load"),
        [
            pytest.param(240.0, 300.0, exact(299), id="read each minute"),
            pytest.param(
                60.0, 1800.0, Duration(over=59, up_to=1799), id="not read for half an hour"
            ),
            # It may have been ready within minutes, and once more after a fault.
            pytest.param(60.0, 18_000.0, Duration(over=59, up_to=math.inf), id="for hours"),
            pytest.param(1.0, 18_000.0, None, id="seen before it began"),
        ],
    )
    def test_an_end_that_is_told_long_after_the_last_reading_is_not_exact(
        self, seen: float, ready: float, load: Duration | None
    ) -> None:
        one = pod(scheduled=1.0, ready=ready, seen_seconds=NOW + seen)

        assert pod_durations(one, NOW + 6 * 3600).get(LOAD) == load

    def test_a_stage_that_ended_before_the_last_reading_is_exact_whenever_the_next_came(
        self,
    ) -> None:
        one = dynamic("u", 3000, seen_seconds=NOW + 100)

        found = node_durations(one, NOW + 6 * 3600)

        assert (found["launched"], found["registered"]) == (exact(4), exact(80))
        assert found["initialized"] == Duration(over=6, up_to=2906)

    def test_a_machine_without_a_claim_took_longer_than_its_node_tells(self) -> None:
        own = machine(claimed=False, node_ready=20.0, gpus=60.0, seen_seconds=NOW + 30)

        assert node_durations(own, NOW + 90) == {
            "node ready": exact(20),
            "GPUs": Duration(over=10, up_to=40),
            TO_GPUS: Duration(over=30, up_to=math.inf),
        }

    def test_a_pod_that_waited_for_its_node_pulls_its_image(self) -> None:
        waited = pod(
            node_ready=90.0, scheduled=95.0, image_pulled=215.0, started=217.0, ready=300.0
        )

        assert pod_durations(waited, NOW + 400) == {
            "scheduled": exact(5), "image pulled": exact(120), "started": exact(2),
            "ready": exact(83), LOAD: exact(205),
        }  # fmt: skip

    def test_a_pod_on_a_node_that_has_served_does_not(self) -> None:
        warm = pod(scheduled=1.0, image_pulled=3.0, started=4.0, ready=60.0)

        assert set(pod_durations(warm, NOW + 400)) == {"scheduled", "started", "ready", LOAD}


class TestLearning:
    def test_where_nothing_was_seen_the_prior_stands(self) -> None:
        found = lead_times().at(ZONE_A)

        assert found.to_gpus.p50_seconds == PRIORS[TO_GPUS].quantile(0.5)
        assert found.stages["initialized"].p99_seconds == PRIORS["initialized"].quantile(0.99)
        assert (found.starts, found.to_gpus.ended) == (0, 0)
        assert found.failures.share == pytest.approx(0.03 + 0.97 * 0.02)

    def test_a_start_counts_once_in_the_narrowest_place_that_it_shares(self) -> None:
        found = lead_times(dynamic("a", 200.0, ZONE_A), dynamic("b", 400.0, ZONE_B))
        prior = PRIORS[TO_GPUS].mean(3600)

        # The machine type elsewhere is a fifth of 400 and four of the prior; of the zone that is
        # four fifths, and its own start is one.
        of_type = prior * 4 / 5 + 400 / 5
        assert found.at(ZONE_A).to_gpus.mean_seconds == pytest.approx(of_type * 4 / 5 + 200 / 5)
        assert found.at(TYPE).to_gpus.mean_seconds == pytest.approx(prior * 4 / 6 + 600 / 6)
        assert [found.at(place).starts for place in (POOL, TYPE, ZONE_A, ZONE_B)] == [2, 2, 1, 1]

    def test_another_pool_changes_nothing(self) -> None:
        elsewhere = dynamic("a", 4000.0, replace(ZONE_A, pool="a100"))

        assert lead_times(elsewhere).at(ZONE_A).to_gpus == lead_times().at(ZONE_A).to_gpus

    def test_a_start_of_a_week_ago_counts_half(self) -> None:
        old = dynamic("a", 400.0, POOL, created=NOW - HALF_LIFE_SECONDS)
        found = lead_times(old).at(POOL).to_gpus.mean_seconds

        assert found == pytest.approx((4 * PRIORS[TO_GPUS].mean(3600) + 0.5 * 400) / 4.5)

    def test_starts_with_another_machine_image_count_a_quarter(self) -> None:
        found = lead_times(
            dynamic("a", 400.0, POOL, created=NOW - 1, machine_image="ami-1"),
            dynamic("b", 100.0, POOL, created=NOW, machine_image="ami-2"),
        )
        prior = PRIORS[TO_GPUS].mean(3600)

        assert found.at(POOL).to_gpus.mean_seconds == pytest.approx(
            (4 * prior + 0.25 * 400 + 100) / 5.25, rel=1e-5
        )

    def test_starts_that_have_not_ended_are_counted_apart(self) -> None:
        found = lead_times(dynamic("a", 200.0), machine("b"), now=NOW + 900).at(ZONE_A)

        assert (found.to_gpus.ended, found.to_gpus.unended) == (1, 1)
        assert (
            found.to_gpus.p50_seconds
            > lead_times(dynamic("a", 200.0)).at(ZONE_A).to_gpus.p50_seconds
        )

    def test_one_start_of_a_day_moves_the_median_little_and_the_mean_by_its_limit(self) -> None:
        usual = [dynamic(f"u{at}", 200.0, POOL) for at in range(40)]
        without = lead_times(*usual).at(POOL).to_gpus
        found = lead_times(*usual, dynamic("slow", 86400.0, POOL)).at(POOL).to_gpus

        assert found.p50_seconds == without.p50_seconds == 200
        assert found.mean_seconds == pytest.approx((without.mean_seconds * 44 + 3600) / 45)

    def test_the_same_start_is_never_counted_twice(self) -> None:
        one = dynamic("a", 200.0)
        starts = Starts(most=9, ended=(one, one), starting={"a": one})

        assert learned(StartUps(nodes=starts), NOW) == lead_times(one)

    def test_a_model_that_loads_long_has_its_own_load(self) -> None:
        slow = [pod(f"s{at}", LLAMA, scheduled=0.0, ready=900.0) for at in range(20)]
        quick = [pod(f"q{at}", QWEN, scheduled=0.0, ready=60.0) for at in range(20)]
        found = lead_times(pods=(*slow, *quick))

        assert found.load_of(LLAMA).p50_seconds == 900
        assert found.load_of(QWEN).p50_seconds == 60
        assert (found.load_of(QWEN).ended, found.load_of(None).ended) == (20, 40)

    def test_loads_of_all_workloads_at_once_are_those_of_each_alone(self) -> None:
        # LLAMA's pods are older than the newest 128, which alone count; QWEN's are among them.
        old = [pod(f"a{at:03}", LLAMA, scheduled=0.0, ready=900.0) for at in range(5)]
        newer = [pod(f"b{at:03}", QWEN, scheduled=0.0, ready=60.0 + at) for at in range(140)]
        without = [pod(f"c{at:03}", None, scheduled=0.0, ready=30.0) for at in range(7)]
        found = lead_times(pods=(*old, *newer, *without))
        unseen = replace(LLAMA, name="unseen")
        asked = (LLAMA, QWEN, unseen, None)

        assert found.usual_loads(asked) == {each: found.load_of(each) for each in asked}
        assert found.usual_loads(asked)[LLAMA].p50_seconds == 900

    def test_pods_without_gpus_tell_nothing(self) -> None:
        plain = pod(scheduled=0.0, ready=1.0, takes_gpus=False)

        assert lead_times(pods=(plain,)) == lead_times()


class TestFailures:
    def test_an_order_that_no_machine_was_launched_for_was_noticed_at_the_launch_limit(
        self,
    ) -> None:
        # A reading found it gone an hour later.
        assert outcome_of(machine(ended=3600.0), 1.0) == Outcome(
            launched=False, gave_gpus=False, seconds=300, weight=1
        )

    def test_a_machine_that_never_registered_was_noticed_at_the_registration_limit(self) -> None:
        assert outcome_of(machine(launched=4.0, ended=3600.0), 1.0) == Outcome(
            launched=True, gave_gpus=False, seconds=900, weight=1
        )

    @pytest.mark.parametrize(
        "start",
        [
            pytest.param(machine(launched=4.0), id="under-way"),
            pytest.param(replace(dynamic("u", 200.0), watched=False), id="not-watched"),
            pytest.param(machine(claimed=False, gpus=60.0), id="without-a-claim"),
            pytest.param(machine(launched=4.0, ended=60.0, called_off=True), id="called-off"),
        ],
    )
    def test_of_these_the_outcome_is_not_known(self, start: NodeStart) -> None:
        assert outcome_of(start, 1.0) is None

    def test_a_refused_order_and_a_good_one_are_drawn_to_the_prior_that_counts_like_four(
        self,
    ) -> None:
        refused = Outcome(launched=False, gave_gpus=False, seconds=100, weight=1)
        good = Outcome(launched=True, gave_gpus=True, seconds=200, weight=1)

        found = failures_of([[refused, good]], 4)

        # Refused: (1 + 4·.03) / 6 = .186667 after (100 + 4·300) / 5 = 260 s. Of the others lost:
        # (0 + 4·.02) / 5 = .016, so .813333 · .016 = .013013 after 900 s.
        assert found.share == pytest.approx(0.186667 + 0.013013, abs=1e-6)
        assert found.seconds == pytest.approx(
            (0.186667 * 260 + 0.013013 * 900) / 0.199680, abs=1e-2
        )

    def test_retries_add_their_time(self) -> None:
        # Half of the launches fail after 50 s: 100 s with ½, 150 with ¼, 200 with ⅛, 250 with 1/16.
        always = Curve(seconds=(100.0,), shares=(1.0,))
        found, mean = with_retries(always, 100.0, Failures(share=0.5, seconds=50.0))

        assert [found.quantile(level) for level in (0.5, 0.6, 0.85, 0.9)] == [100, 150, 200, 250]
        assert mean == 150

    def test_without_failures_retries_add_nothing(self) -> None:
        one = Curve(seconds=(100.0, 200.0), shares=(0.5, 0.5))

        assert with_retries(one, 150.0, Failures(share=0.0, seconds=600.0)) == (one, 150)

    def test_failed_launches_make_the_lead_time_longer(self) -> None:
        good = [dynamic(f"u{at}", 200.0, POOL) for at in range(20)]
        bad = [machine(f"f{at}", POOL, ended=300.0) for at in range(5)]
        found, without = lead_times(*good, *bad).at(POOL), lead_times(*good).at(POOL)

        assert found.failures.share == pytest.approx((5 + 0.12) / 29 + (1 - 5.12 / 29) * 0.08 / 24)
        assert found.with_retries.mean_seconds > without.with_retries.mean_seconds
        assert found.with_retries.p90_seconds > without.with_retries.p90_seconds


STARTS = st.lists(
    st.builds(
        lambda seconds, zone, kind: (seconds, zone, kind),
        st.integers(1, 2000).map(float),
        st.sampled_from([ZONE_A, ZONE_B, TYPE, POOL]),
        st.sampled_from(["gpus", "ended", "under way", "unwatched"]),
    ),
    max_size=10,
)


def made(at: int, drawn: tuple[float, Place, str]) -> NodeStart:
    seconds, place, kind = drawn
    uid = f"u{at}"
    match kind:
        case "gpus":
            return dynamic(uid, seconds, place)
        case "ended":
            return machine(uid, place, ended=seconds)
        case "under way":
            return machine(uid, place, seen_seconds=NOW + seconds)
        case _:
            return replace(dynamic(uid, seconds, place), watched=False)


@settings(max_examples=20)
@given(drawn=STARTS, data=st.data())
def test_the_order_of_readings_changes_no_digit(
    drawn: list[tuple[float, Place, str]], data: st.DataObject
) -> None:
    starts = [made(at, one) for at, one in enumerate(drawn)]
    shuffled = data.draw(st.permutations(starts))

    assert lead_times(*shuffled).at(ZONE_A) == lead_times(*starts).at(ZONE_A)


@settings(max_examples=20)
@given(drawn=STARTS)
def test_quantiles_ascend_and_retries_never_shorten_them(
    drawn: list[tuple[float, Place, str]],
) -> None:
    found = lead_times(*(made(at, one) for at, one in enumerate(drawn))).at(ZONE_A)

    for spread in (found.to_gpus, found.with_retries, *found.stages.values()):
        levels = (spread.p50_seconds, spread.p90_seconds, spread.p99_seconds)
        assert all(a <= b for a, b in pairwise(levels))
        assert all(map(math.isfinite, (*levels, spread.mean_seconds)))
    assert found.with_retries.mean_seconds >= found.to_gpus.mean_seconds
    assert found.with_retries.p90_seconds >= found.to_gpus.p90_seconds
    assert 0 < found.failures.share < 1


@pytest.mark.parametrize(
    ("place", "around"),
    [
        pytest.param(ZONE_A, (POOL, TYPE, ZONE_A), id="zone"),
        pytest.param(TYPE, (POOL, TYPE), id="machine-type"),
        pytest.param(POOL, (POOL,), id="pool"),
        pytest.param(Place(), (Place(),), id="without-a-pool"),
    ],
)
def test_a_place_lies_in_wider_ones(place: Place, around: tuple[Place, ...]) -> None:
    assert place.wider == around
