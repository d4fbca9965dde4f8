"""Workloads on one pool: who starts when a GPU is free, and late requests counted by hand."""

from dataclasses import dataclass, field, replace

import pytest

from bench import scarce
from replay.fleet import FleetSettings
from replay.generated import generated
from replay.policies.port import Seen
from replay.policies.shipped import FORESAIL, POOL, Foresail
from replay.pool import Tenant, play
from replay.replay_input import Platform, fixed_start_up
from replay.trigger import Overrides
from scaler.serving.shares import Shares
from tests.replay.small import small_input


@dataclass
class Scripted:
    """Wants what its script says from each second on, and remembers what it had."""

    script: dict[int, int]
    period_seconds: int = 15
    had: dict[int, int] = field(default_factory=dict)

    def decide(self, seen: Seen) -> int:
        self.had[seen.at_seconds] = seen.replicas
        return self.script[max(at for at in self.script if at <= seen.at_seconds)]


def tenant(policy: Scripted, *, at_start: int) -> Tenant:
    drawn = replace(small_input().first(1800), replicas_at_start=at_start)
    return Tenant(replay_input=drawn, policy=policy)


def test_a_replica_without_a_gpu_starts_when_another_workload_gives_one_up() -> None:
    first, second = Scripted({0: 4, 900: 1}), Scripted({0: 2, 30: 5})
    play([tenant(first, at_start=2), tenant(second, at_start=2)], 6, seed=1)

    # The first takes both free GPUs; the second waits until it is done with three.
    assert (first.had[15], second.had[60], second.had[900]) == (4, 2, 2)
    assert (first.had[1500], second.had[1500]) == (1, 5)
    assert max(first.had[at] + second.had[at] for at in first.had) == 6


def test_the_oldest_pending_replica_is_scheduled_first() -> None:
    late, early = Scripted({0: 2, 300: 3}), Scripted({0: 2, 150: 3})
    gives = Scripted({0: 2, 600: 1})
    play([tenant(one, at_start=2) for one in (late, early, gives)], 6, seed=1)
    assert (late.had[1500], early.had[1500]) == (2, 3)


def test_a_pool_that_is_too_small_for_the_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with 4 GPUs, and the pool has 3"):
        play([tenant(Scripted({0: 2}), at_start=2) for _ in range(2)], 3, seed=1)


def test_variants_of_one_model_share_its_requests_by_what_is_ready() -> None:
    tenants = [
        tenant(Scripted({0: 3}), at_start=3),
        tenant(Scripted({0: 1}), at_start=1),
    ]
    apart = play(tenants, 8, seed=1)
    together = play(tenants, 8, seed=1, one_model=True)
    assert apart[1].requests == pytest.approx(apart[0].requests, rel=0.01)
    assert together[0].requests == pytest.approx(3 * together[1].requests, rel=0.01)
    assert sum(one.requests for one in together) == pytest.approx(apart[0].requests, rel=0.01)


def test_the_shipped_rule_keeps_to_its_share_and_says_why() -> None:
    shares = Shares({POOL: 6})
    keys = Overrides(keys=(("pool", POOL),))
    inputs = [
        replace(small_input(seed=seed).first(4500), name=f"{seed}", replicas_at_start=3)
        for seed in (1, 2)
    ]
    policies = [Foresail(one, FORESAIL.usual, keys, shares) for one in inputs]
    play(
        [Tenant(replay_input=i, policy=p) for i, p in zip(inputs, policies, strict=True)], 6, seed=1
    )

    # Each wants about ten from the jump at one hour on.
    refused = [policy.why() for policy in policies]
    assert any("pool: pool shared has 6 GPUs: " in why for why in refused)
    shares = [float(why.rpartition("→")[2]) for why in refused]
    assert sum(shares) <= 6


def test_inputs_are_scaled_until_the_pool_is_short_for_as_long_as_asked() -> None:
    traces = [generated(seed=seed, days=1, shape="bursts") for seed in (1, 2)]
    platform = Platform(fleet=FleetSettings(start_up=fixed_start_up(60), rows=32), replicas_max=16)
    inputs = scarce.scaled(traces, platform, gpus=16, short_minutes=60, days=0.5, seed=1)
    need = sum(one.need_by_minute() for one in inputs)
    # The draw of the arrivals moves with the scale a little.
    assert (need > 16).sum() == pytest.approx(60, abs=15)


def test_late_requests_are_added_up_with_their_priorities() -> None:
    result = play([tenant(Scripted({0: 2}), at_start=2)], 2, seed=1)[0]
    one = replace(result, policy="a", requests=100, attainment=0.9, gpu_hours=3)
    other = replace(result, policy="b", requests=300, attainment=1.0, gpu_hours=5)
    rows = scarce.rows_of("together", [one, other], [2.0, 1.0])
    assert [row["service"] for row in rows] == ["a", "b", "all"]
    assert [row["late"] for row in rows] == pytest.approx([10, 0, 10])
    assert [row["late_weighted"] for row in rows] == pytest.approx([20, 0, 20])
    assert (rows[-1]["attainment"], rows[-1]["gpu_hours"]) == (pytest.approx(0.975), 8)
