"""llm-d's KEDA blueprints against figures worked out by hand."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from replay.peers.llmd_slo_aware import SloAware
from replay.peers.llmd_token_aware import prefill_tokens_per_second
from replay.policies.catalogue import KINDS
from replay.policies.port import Policy, Seen
from replay.profile import QWEN3_32B_FP8_H100
from replay.replay_input import ReplayInput
from replay.score import Objective
from tests.replay.small import small_input

SEEN = Seen(
    at_seconds=0, replicas=4, ready=4, running=100.0, waiting=0.0, kv_use_ratio=0.5,
    itl_seconds=0.03, arrived_per_second=10.0, finished_per_second=10.0,
    prompt_tokens_per_second=8000.0, output_tokens_per_second=3000.0, prompt_tokens=800.0,
    output_tokens=300.0, ttft_p90_seconds=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def replay_input() -> ReplayInput:
    return small_input()


def usual(name: str, replay_input: ReplayInput) -> Policy:
    return KINDS[name].make(replay_input, KINDS[name].usual)


def decisions(rule: Policy, seen: Seen, seconds: Iterable[int]) -> list[int]:
    return [rule.decide(replace(seen, at_seconds=at)) for at in seconds]


class TestQueue:
    def test_sixteen_running_requests_are_a_replica_once_it_has_lasted_five_minutes(
        self, replay_input: ReplayInput
    ) -> None:
        # 100 / 16 = 6.25, and the window up is 300 s.
        made = decisions(usual("llmd-queue", replay_input), SEEN, range(0, 330, 15))
        assert made == [4] * 21 + [7]

    def test_each_waiting_request_is_a_replica_and_a_step_doubles_at_most(
        self, replay_input: ReplayInput
    ) -> None:
        # 9 / 1 is more than 100 / 16; four may become eight.
        queued = replace(SEEN, waiting=9.0)
        made = decisions(usual("llmd-queue", replay_input), queued, range(0, 330, 15))
        assert made[-1] == 8


class TestSaturation:
    def test_a_saturated_pool_asks_for_two_whatever_its_size(
        self, replay_input: ReplayInput
    ) -> None:
        # KV use .9 / .8 = 1.125, over .7 are 1.6 replicas; 16 running requests are one.
        full = replace(SEEN, kv_use_ratio=0.9, running=16.0)
        made = decisions(usual("llmd-saturation", replay_input), full, range(0, 330, 15))
        assert made == [4] * 21 + [2]

    def test_running_requests_decide_beyond_that(self, replay_input: ReplayInput) -> None:
        made = decisions(usual("llmd-saturation", replay_input), SEEN, range(0, 330, 15))
        assert made[-1] == 7

    def test_a_queue_of_five_a_replica_is_full(self, replay_input: ReplayInput) -> None:
        # 30 waiting on 4 are 7.5, over 5 are 1.5, over .7 are 2.14.
        queued = replace(SEEN, waiting=30.0, running=16.0)
        made = decisions(usual("llmd-saturation", replay_input), queued, range(0, 330, 15))
        assert made[-1] == 3

    def test_a_pool_with_none_to_ask_reads_saturated(self, replay_input: ReplayInput) -> None:
        # 1 / .7 = 1.43.
        blind = replace(SEEN, replicas=1, ready=0, running=0.0, kv_use_ratio=0.0)
        made = decisions(usual("llmd-saturation", replay_input), blind, range(0, 330, 15))
        assert made[-1] == 2


class TestTokenAware:
    def test_the_velocity_is_a_chunk_over_its_time_on_an_idle_replica(self) -> None:
        # 2,048 tokens in 14.5 ms and 2,048 x 75 us.
        found = prefill_tokens_per_second(QWEN3_32B_FP8_H100)
        assert found == pytest.approx(2048 / (0.0145 + 0.1536))

    @pytest.mark.parametrize(
        ("waiting", "replicas"),
        [
            # 100 x 800 / 12,183 = 6.57 s, over 1.5 are 4.38: within the HPA's tolerance of four.
            pytest.param(100.0, 4, id="within-the-tolerance"),
            # 88,000 tokens are 7.22 s and 4.8 replicas.
            pytest.param(110.0, 5, id="one-more"),
        ],
    )
    def test_a_second_and_a_half_of_backlog_is_a_replica(
        self, replay_input: ReplayInput, waiting: float, replicas: int
    ) -> None:
        rule = usual("llmd-token-aware", replay_input)
        assert rule.decide(replace(SEEN, at_seconds=15, waiting=waiting)) == replicas

    def test_eight_tenths_of_a_cache_is_a_replica(self, replay_input: ReplayInput) -> None:
        # 4 x .95 / .8 = 4.75.
        rule = usual("llmd-token-aware", replay_input)
        assert rule.decide(replace(SEEN, at_seconds=15, kv_use_ratio=0.95)) == 5

    def test_one_pod_is_added_in_three_minutes(self, replay_input: ReplayInput) -> None:
        rule = usual("llmd-token-aware", replay_input)
        flooded = replace(SEEN, at_seconds=15, waiting=500.0)  # 22 replicas
        assert rule.decide(flooded) == 5
        later = decisions(rule, replace(flooded, replicas=5), range(30, 210, 15))
        assert later == [5] * 11 + [6]


class TestSloAware:
    """First tokens within 2 s, the others within 60 ms."""

    @pytest.mark.parametrize(
        ("ttft", "itl", "replicas"),
        [
            pytest.param(0.4, 0.03, 4, id="half-of-the-objective-is-the-dead-band"),
            pytest.param(1.32, 0.03, 5, id="ttft-.66-over-.55-is-4.8"),
            pytest.param(0.4, 0.0396, 5, id="itl-.66-over-.55-is-4.8"),
            pytest.param(60.0, 0.03, 15, id="no-more-than-twice-the-objective-counts"),
            pytest.param(0.1, 0.012, 2, id="a-fifth-over-.40"),
            pytest.param(None, 0.06, 0, id="no-traffic"),
        ],
    )
    def test_latency_over_the_objective_sizes_what_is_ready(
        self, ttft: float | None, itl: float, replicas: int
    ) -> None:
        rule = SloAware(Objective(), 0.55)
        assert rule(replace(SEEN, ttft_p90_seconds=ttft, itl_seconds=itl)) == (replicas, 1.0)

    def test_replicas_that_start_are_credit(self) -> None:
        rule = SloAware(Objective(), 0.55)
        assert rule(replace(SEEN, replicas=6, ttft_p90_seconds=1.32)) == (6, 1.0)

    def test_the_signal_is_the_mean_of_45_seconds(self) -> None:
        rule = SloAware(Objective(), 0.55)
        for at in (0, 15, 30):
            rule(replace(SEEN, at_seconds=at))
        # (.5 + .5 + 2) / 3 = 1: 4 / .55 = 7.3.
        assert rule(replace(SEEN, at_seconds=45, ttft_p90_seconds=60.0)) == (8, 1.0)

    def test_one_pod_is_removed_in_two_minutes(self, replay_input: ReplayInput) -> None:
        rule = usual("llmd-slo-aware", replay_input)
        calm = replace(SEEN, ttft_p90_seconds=0.1, itl_seconds=0.012)
        assert decisions(rule, calm, range(0, 330, 15)) == [4] * 21 + [3]
        after = decisions(rule, replace(calm, replicas=3, ready=3), range(330, 450, 15))
        assert after == [3] * 7 + [2]
