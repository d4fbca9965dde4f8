"""The peers' rules against figures worked out by hand or read from their sources."""

from dataclasses import replace

import numpy as np
import pytest

from replay.contest import settings
from replay.peers.aibrix import AibrixApa
from replay.peers.dynamo import Constant, Kalman, Sla
from replay.peers.knative import Knative
from replay.peers.phpa import HoltWinters
from replay.peers.predictkube import DayBefore
from replay.peers.sageserve import arima_312
from replay.peers.wva import TokenCapacity, highest_rate, latencies
from replay.policies.behaviors import BEHAVIORS
from replay.policies.catalogue import KINDS
from replay.policies.port import Policy, Seen
from replay.policies.windows import Persistence, Window
from replay.profile import EngineProfile
from replay.replay_input import ReplayInput
from replay.simulate import Result, simulate
from tests.replay.small import as_shipped, small_input


@pytest.fixture(scope="module")
def replay_input() -> ReplayInput:
    return small_input()


GRACE_SECONDS = 120
SEEN = Seen(
    at_seconds=0, replicas=4, ready=4, running=100.0, waiting=0.0, kv_use_ratio=0.5,
    itl_seconds=0.03, arrived_per_second=10.0, finished_per_second=10.0,
    prompt_tokens_per_second=8000.0, output_tokens_per_second=3000.0, prompt_tokens=800.0,
    output_tokens=300.0,
)  # fmt: skip


class TestWindows:
    def test_a_window_forgets_what_is_as_old_as_it_is_long(self) -> None:
        window = Window(60)
        window.add(0, 100)
        window.add(30, 4)
        window.add(60, 2)
        assert window.mean() == 3

    def test_a_wish_is_granted_when_its_direction_has_lasted(self) -> None:
        patience = Persistence(up_seconds=30, down_seconds=600)
        assert patience.allowed(0, 4, 6) == 4
        assert patience.allowed(20, 4, 7) == 4
        assert patience.allowed(30, 4, 6) == 6

    def test_a_change_of_direction_starts_anew(self) -> None:
        patience = Persistence(up_seconds=30, down_seconds=600)
        patience.allowed(0, 4, 6)
        patience.allowed(20, 4, 3)
        assert patience.allowed(35, 4, 6) == 4


class TestKnative:
    def test_stable_is_the_mean_over_a_share_of_the_concurrency(
        self, replay_input: ReplayInput
    ) -> None:
        # 64 streams a replica at 70 % are 44.8; 100 in flight want three.
        assert Knative(replay_input, 0.7).decide(SEEN) == 3

    def test_panic_goes_up_at_once_and_not_down_for_a_window(
        self, replay_input: ReplayInput
    ) -> None:
        rule = Knative(replay_input, 0.7)
        rule.decide(SEEN)
        crowd = replace(SEEN, at_seconds=2, waiting=700.0)
        highest = rule.decide(crowd)
        assert highest >= 8  # twice the ready ones is panic
        calm = [rule.decide(replace(SEEN, at_seconds=at)) for at in range(4, 80, 2)]
        assert calm[20] == max(calm)
        assert calm[-1] == 3

    def test_no_more_than_half_goes_in_one_step(self, replay_input: ReplayInput) -> None:
        assert (
            Knative(replay_input, 0.7).decide(replace(SEEN, running=0.0, replicas=9, ready=9)) == 4
        )


class TestReactive:
    @pytest.mark.parametrize(
        ("use", "wanted"),
        [
            pytest.param(0.54, 4, id="inside-the-band"),
            pytest.param(0.8, 7, id="up-by-the-ratio"),
            pytest.param(1.6, 8, id="no-more-than-double"),
        ],
    )
    def test_aibrix_moves_by_the_ratio_outside_its_band(
        self, replay_input: ReplayInput, use: float, wanted: int
    ) -> None:
        assert AibrixApa(replay_input, 0.5).decide(replace(SEEN, kv_use_ratio=use)) == wanted

    @pytest.mark.parametrize(
        ("ready", "use", "wanted"),
        [
            # Ten are wished for; the four that are ready ask for 4.8.
            pytest.param(4, 0.6, 8, id="no-more-while-half-of-them-start"),
            # Fifteen are wished for; seven at .9 ask for 12.6.
            pytest.param(7, 0.9, 13, id="more-where-those-that-are-ready-ask-for-it"),
            # Five are wished for; four at .3 and four at .5 are 6.4.
            pytest.param(4, 0.3, 7, id="a-decrease-leaves-room-for-those-that-start"),
        ],
    )
    def test_aibrix_is_held_back_by_pods_that_start(
        self, replay_input: ReplayInput, ready: int, use: float, wanted: int
    ) -> None:
        seen = replace(SEEN, replicas=8, ready=ready, kv_use_ratio=use)
        assert AibrixApa(replay_input, 0.5).decide(seen) == wanted

    def test_aibrix_takes_the_largest_decrease_of_five_minutes(
        self, replay_input: ReplayInput
    ) -> None:
        rule = AibrixApa(replay_input, 0.5)
        low = replace(SEEN, replicas=8, ready=8, kv_use_ratio=0.2)
        assert rule.decide(low) == 4
        # The window of 180 s has .2 and .6 then: .4 asks for seven.
        assert rule.decide(replace(low, at_seconds=15, kv_use_ratio=0.6)) == 4

    def test_ray_counts_ongoing_requests_and_waits_thirty_seconds(
        self, replay_input: ReplayInput
    ) -> None:
        rule = KINDS["ray-ongoing"].make(replay_input, 20.0)
        wishes = [rule.decide(replace(SEEN, at_seconds=at)) for at in (0, 10, 20, 30)]
        assert wishes == [4, 4, 4, 5]

    def test_sky_needs_five_minutes_to_go_up(self, replay_input: ReplayInput) -> None:
        rate = 6.5 * replay_input.replica_requests_per_second
        rule = KINDS["sky-qps"].make(replay_input, 1.0)
        wishes = [
            rule.decide(replace(SEEN, at_seconds=at, arrived_per_second=rate))
            for at in range(0, 320, 20)
        ]
        assert wishes == [4] * 15 + [7]


class TestHpa:
    def test_in_flight_is_running_and_waiting_over_a_share_of_the_load_test(
        self, replay_input: ReplayInput
    ) -> None:
        # 210 over 0.7 x 64 = 44.8 a replica are 4.7.
        rule = KINDS["hpa-inflight"].make(replay_input, 0.7)
        assert rule.decide(replace(SEEN, at_seconds=15, running=200.0, waiting=10.0)) == 5

    def test_a_behavior_without_tolerance_follows_six_per_cent(
        self, replay_input: ReplayInput
    ) -> None:
        # 190 over 44.8 are 4.24: 1.06 of four, within the tolerance of 0.1.
        busier = replace(SEEN, at_seconds=15, running=190.0)
        assert KINDS["hpa-inflight"].make(replay_input, 0.7).decide(busier) == 4
        assert behaving("hpa-inflight", replay_input, "no-tolerance").decide(busier) == 5

    @pytest.mark.parametrize(
        ("behavior", "seconds"),
        [pytest.param(None, 300, id="own"), pytest.param("down-2m", 120, id="down-2m"),
         pytest.param("down-15m", 900, id="down-15m")],
    )  # fmt: skip
    def test_a_behavior_s_window_says_how_long_a_release_is_held(
        self, replay_input: ReplayInput, behavior: str | None, seconds: int
    ) -> None:
        kind = KINDS["hpa-inflight"]
        rule = (
            behaving(kind.name, replay_input, behavior)
            if behavior
            else kind.make(replay_input, 0.7)
        )
        held = [
            rule.decide(replace(SEEN, at_seconds=at, running=20.0))
            for at in range(0, seconds + 30, 15)
        ]
        # At rest with four at second 0; the window's first second still counts.
        assert held == [4] * (seconds // 15 + 1) + [1]

    def test_only_rules_behind_an_hpa_are_tried_under_other_behaviors(self) -> None:
        tried = {name: {behavior for _, behavior in settings(name, sweep=True)} for name in KINDS}
        through_hpa = {name for name, behaviors in tried.items() if behaviors > {"own"}}
        assert through_hpa == {
            "hpa-inflight", "hpa-kv", "keda-waiting", "keda-composite", "llmd-queue",
            "llmd-saturation", "llmd-token-aware", "llmd-slo-aware", "wva-v2", "wva-queueing",
            "phpa-holt-winters", "max-pred-last",
        }  # fmt: skip
        assert all(tried[name] == {"own", *BEHAVIORS} for name in through_hpa)
        assert settings("foresail", sweep=True) == tuple(
            (knob, "own") for knob in KINDS["foresail"].knobs
        )
        assert settings("hpa-kv", sweep=False) == ((0.7, "own"),)


def behaving(name: str, replay_input: ReplayInput, behavior: str) -> Policy:
    kind = KINDS[name]
    assert kind.with_behavior is not None
    return kind.with_behavior(replay_input, kind.usual, BEHAVIORS[behavior])


WVA_PAPER = EngineProfile(
    name="golden", model_name="golden", fixed_seconds=7e-3, per_sequence_seconds=0.0,
    per_kv_token_seconds=5e-8, per_prefill_token_seconds=3e-5, batched_tokens_max=8192,
    sequences_max=256, kv_tokens_max=1_000_000,
)  # fmt: skip


class TestWva:
    """Alpha 7 ms, beta 0.03 ms, gamma 5e-5 ms, 1000 and 200 tokens, 256 slots and 100 waiting."""

    @pytest.mark.parametrize(
        ("rate", "itl_ms", "ttft_ms"),
        [pytest.param(5.0, 9.618, 48.97, id="5-rps"), pytest.param(10.0, 13.958, 57.65, id="10")],
    )
    def test_latencies_are_those_of_its_model(
        self, rate: float, itl_ms: float, ttft_ms: float
    ) -> None:
        ttft, itl = latencies(WVA_PAPER, 1000, 200, rate=rate)
        assert itl * 1000 == pytest.approx(itl_ms, rel=1e-3)
        assert ttft * 1000 == pytest.approx(ttft_ms, rel=1e-2)

    @pytest.mark.parametrize(
        ("ttft_ms", "itl_ms", "rate"),
        [
            pytest.param(500, 1000, 18.526, id="ttft-binds"),
            pytest.param(100_000, 50, 18.090, id="itl-binds"),
            pytest.param(100_000, 25, 14.941, id="a-tighter-itl"),
        ],
    )
    def test_the_highest_rate_is_where_the_first_objective_binds(
        self, ttft_ms: float, itl_ms: float, rate: float
    ) -> None:
        found = highest_rate(
            WVA_PAPER, 1000, 200, ttft_seconds=ttft_ms / 1000, itl_seconds=itl_ms / 1000
        )
        assert found == pytest.approx(rate, rel=2e-3)

    def test_token_capacity_counts_what_starts_only_for_going_up(
        self, replay_input: ReplayInput
    ) -> None:
        # By memory 120,000 tokens; by batch 64 x 950 = 60,800: the smaller. 85 % of four is
        # 206,720 tokens; five times 50,000 are more, and with one on order they are not.
        rule = TokenCapacity(replay_input, 0.85)
        busy = replace(SEEN, kv_use_ratio=250_000 / (4 * 150_000))
        assert rule(busy) == (5, 1.0)
        assert rule(replace(busy, at_seconds=15, replicas=5)) == (5, 1.0)

    def test_a_release_is_held_two_minutes(self, replay_input: ReplayInput) -> None:
        rule = KINDS["wva-v2"].make(replay_input, 0.85)
        rule.decide(replace(SEEN, kv_use_ratio=0.35))
        idle = [
            rule.decide(replace(SEEN, at_seconds=at, kv_use_ratio=0.01))
            for at in range(15, 150, 15)
        ]
        assert idle == [4] * 8 + [1]


class TestDynamo:
    def test_the_kalman_filter_follows_a_line_and_foretells_its_next_point(self) -> None:
        kalman = Kalman()
        told = [kalman.next(10.0 + 2 * at) for at in range(200)]
        assert told[-1] == pytest.approx(10 + 2 * 200, abs=0.1)

    def test_it_repeats_what_it_sees_while_it_is_cold(self) -> None:
        kalman = Kalman()
        assert [kalman.next(value) for value in (5.0, 9.0, 1.0)] == [5.0, 9.0, 1.0]

    def test_the_slow_loop_is_a_floor_under_the_fast_one(self, replay_input: ReplayInput) -> None:
        rule = Sla(replay_input, 1.0, Constant)
        rate = 5.2 * replay_input.replica_requests_per_second / 0.85
        busy = replace(SEEN, arrived_per_second=rate, running=30.0, kv_use_ratio=0.05)
        assert rule.decide(busy) == 6
        assert rule.decide(replace(busy, at_seconds=5, replicas=6, ready=6)) == 6

    def test_while_one_starts_it_observes(self, replay_input: ReplayInput) -> None:
        rule = Sla(replay_input, 1.0, Constant)
        slow = replace(SEEN, at_seconds=5, replicas=5, itl_seconds=0.2)
        assert rule.decide(slow) == 5
        assert rule.decide(replace(slow, at_seconds=10, ready=5)) == 6


class TestPredictive:
    def test_holt_winters_knows_a_season_that_repeats(self) -> None:
        season = [4.0, 5.0, 9.0, 9.0, 6.0, 4.0]
        model = HoltWinters(6)
        told = [model.next(value) for value in season * 8]
        assert told[-7:-1] == pytest.approx([*season[-6:]], abs=0.2)

    def test_arima_goes_on_along_a_line(self) -> None:
        forecast = arima_312(np.arange(100.0), 5)
        assert forecast is not None
        assert forecast == pytest.approx(np.arange(100.0, 105.0), abs=0.05)

    def test_arima_wants_sixty_values(self) -> None:
        assert arima_312(np.arange(59.0), 5) is None

    def test_the_day_before_is_known_only_after_a_day(self, replay_input: ReplayInput) -> None:
        days = DayBefore(replay_input)
        for minute in range(1, 1441):
            days.note(minute * 60, float(minute))
        # Ten minutes ahead of minute 1440 was minute 10 a day before.
        assert days.ahead(600) == 10.0
        days_cold = DayBefore(replay_input)
        days_cold.note(60, 1.0)
        assert days_cold.ahead(600) is None


@pytest.mark.parametrize("name", sorted(KINDS))
class TestEveryRule:
    def test_a_rule_replayed_twice_gives_the_same_bytes(self, name: str) -> None:
        def once() -> Result:
            return as_shipped(name, small_input())

        assert repr(once()) == repr(once())

    def test_its_gpu_hours_are_what_it_asked_for_and_what_drained(
        self, name: str, replay_input: ReplayInput
    ) -> None:
        result = as_shipped(name, replay_input)
        begin, end = replay_input.run_in_seconds, replay_input.seconds
        asked, drained, replicas, since = 0, 0, replay_input.replicas_at_start, 0
        for move in result.moves:
            asked += replicas * max(0, move.at_seconds - max(since, begin))
            released_from = move.at_seconds + GRACE_SECONDS + 1 > begin
            drained += max(0, move.before - move.after) * released_from * (GRACE_SECONDS + 1)
            replicas, since = move.after, move.at_seconds
        asked += replicas * (end - max(since, begin))
        # An order is paid from its second on, and a released replica for its grace at most.
        assert asked <= result.gpu_hours * 3600 <= asked + drained
        assert sum(day.gpu_seconds for day in result.days) / 3600 == pytest.approx(result.gpu_hours)
        assert 0 <= result.attainment <= 1


def test_another_seed_is_another_day() -> None:
    kind = KINDS["hpa-inflight"]
    one, other = (
        simulate(c, kind.make(c, kind.usual), name=kind.name, knob=kind.usual, seed=1)
        for c in (small_input(seed=1), small_input(seed=2))
    )
    assert one != other
