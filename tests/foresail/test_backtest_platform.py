"""What a backtest takes to serve: what its pods ask for, where nothing else says so."""

from dataclasses import replace

from foresail.backtest.prometheus_backtest import Question, _serving
from foresail.backtest.served_pods import ServedPods
from foresail.replaying.plan import ReplayPlan
from replay.start_up import FIVE_MINUTES

QUESTION = Question(model="m", days=7, plan=ReplayPlan())


def test_where_no_capacity_is_learned_a_replica_has_the_gpus_of_its_pods() -> None:
    assumed: list[str] = []
    platform = _serving(QUESTION, ServedPods(gpus=4), None, FIVE_MINUTES, assumed)

    assert platform.fleet.gpus_per_replica == 4
    (said,) = assumed
    assert said.startswith("a replica of 4 GPUs, as its pods ask for, serves what")
    assert said.endswith("on 1: say --engine or --serves")


def test_a_planned_replica_has_the_gpus_of_the_plan() -> None:
    planned = replace(QUESTION, plan_keys=frozenset({"engine"}))
    assumed: list[str] = []
    platform = _serving(planned, ServedPods(gpus=4), None, FIVE_MINUTES, assumed)

    assert platform.fleet.gpus_per_replica == platform.profile.gpus
    assert assumed == []
