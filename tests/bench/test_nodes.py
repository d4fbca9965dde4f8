"""The benchmark of nodes: its demand, its oracle, its peers, and that nothing sees the future."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench import nodes
from bench._nodes_demand import BEGIN_SECONDS, Demand, read_demand
from bench._nodes_oracle import oracle
from bench._nodes_peers import HybridHistogram, ski_rental_seconds
from bench._nodes_perfect import perfect
from bench._nodes_policies import Draw, Runs, forecasts_of, tuned_elsewhere
from bench._nodes_run import POOL, Place, run
from policies.situation import LeadTime, PoolState, Situation
from replay.cluster.settings import NodeStartUp
from replay.traces import TraceError

START_UP = NodeStartUp(boot_seconds=(285, 285), failure_share=0, pull_seconds=15)
"""A start of five minutes: 20 steps."""


def demand(*replicas: int, past: tuple[int, ...] = ()) -> Demand:
    return Demand(trace="made", replicas=np.array(replicas), past=np.array(past, dtype=np.int64))


def place(of: Demand, gpus: int = 1) -> Place:
    return Place(name="made", demands=(of,), gpus_per_node=gpus, start_up=START_UP)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


class TestDemand:
    def test_an_hpa_holds_for_five_minutes_and_tolerates_ten_per_cent(self, tmp_path: Path) -> None:
        # 100 steps at 2 replicas, then 1: mean of 1.6 with the 20 steps of the hold.
        rows = "".join(f"{15 * n},{2 if n < 100 else 1}\n" for n in range(200))
        read = read_demand(written(tmp_path, "t_s,requests\n" + rows), mean=1.6, days=None)
        assert read.replicas.tolist() == [2] * 120 + [1] * 80

    def test_a_gap_is_bridged_in_a_straight_line(self, tmp_path: Path) -> None:
        text = "t_s,requests\n0,10\n15,\n30,\n45,10\n60,10\n"
        read = read_demand(written(tmp_path, text), mean=3, days=None)
        assert read.replicas.tolist() == [3] * 5

    def test_days_before_the_played_ones_are_past(self, tmp_path: Path) -> None:
        rows = "".join(f"{600 * n},5\n" for n in range(3 * 144 + 1))
        read = read_demand(written(tmp_path, "t_s,requests\n" + rows), mean=4, days=1)
        assert (len(read.past), read.days) == (2 * 5760, pytest.approx(1, abs=0.01))

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            pytest.param("t_s,visits\n0,1\n", "its columns are t_s, visits", id="columns"),
            pytest.param("t_s,requests\n0,1\n", "1 rows have a load", id="one-row"),
            pytest.param("t_s,requests\n0,0\n15,0\n", "above 0", id="nothing-asked"),
            pytest.param("t_s,requests\n0,x\n15,0\n", "a cell is no number", id="no-number"),
        ],
    )
    def test_a_trace_that_cannot_be_played_is_refused(
        self, tmp_path: Path, text: str, why: str
    ) -> None:
        with pytest.raises(TraceError, match=why):
            read_demand(written(tmp_path, text), mean=8, days=None)


class TestOracle:
    def test_it_holds_over_a_short_gap_and_orders_ahead_of_a_long_one(self) -> None:
        # 10 steps without the second node are held, 40 are not: a start is 20 steps.
        short, long = [1] * 10, [1] * 40
        best = oracle(place(demand(*[2] * 30, *short, *[2] * 30, *long, *[2] * 30)))
        assert best.idle_hours * 3600 == 15 * (10 + 20)
        assert best.launches == 1
        assert best.waits_seconds.sum() == 0

    def test_eight_gpus_come_together(self) -> None:
        best = oracle(place(demand(*[8] * 50, *[9] * 50), gpus=8))
        assert best.idle_hours * 3600 == 15 * (7 * 50 + 8 * 20)


class TestPlayed:
    def test_cost_counts_idle_time_and_delays(self) -> None:
        played = run(place(demand(*[1] * 40, *[2] * 60)), consolidate_after_seconds=600)
        # The second pod waits a second for the batch and 300 s for its node.
        assert played.waits_seconds.tolist() == [301]
        # It is wanted for 900 s, of which its node is paid 899.
        assert played.idle_hours * 3600 == -1
        assert played.cost(10) == (-1 + 10 * 301) / (15 * 160)

    def test_what_is_best_on_a_trace_is_not_chosen_by_it(self) -> None:
        # A gap of 40 minutes each hour costs more to hold than a start of 5 and a wait of 3 x 5;
        # one of 4 minutes costs less.
        wide = demand(*([2] * 80 + [1] * 160) * 6)
        narrow = demand(*([2] * 224 + [1] * 16) * 6)
        draws = [Draw(place=place(one), forecast=lambda _: None) for one in (wide, narrow)]
        runs = [Runs([draw]) for draw in draws]
        assert [tuned_elsewhere([one], 3) for one in runs] == ["empty-1m", "empty-5m"]


class TestPeers:
    def test_ski_rental_waits_until_idling_has_cost_a_start_and_a_wait(self) -> None:
        assert ski_rental_seconds(START_UP, 1, 3) == 300 * 4
        assert ski_rental_seconds(START_UP, 8, 8) == 300 * 2

    def test_a_histogram_orders_ahead_of_the_usual_return(self) -> None:
        histogram, lead = (
            HybridHistogram(),
            LeadTime(boot_seconds=240, boot_seconds_p90=240, pull_seconds=60),
        )

        def orders(now: float, gpus: int) -> int:
            pool = PoolState(name=POOL, gpus_per_node=1, demand_gpus=gpus, lead_time=lead)
            plan = histogram.decide(Situation(now_seconds=now, pools=(pool,)))
            return sum(order.nodes for order in plan.pools[0].orders)

        # Ten times: an hour in use, an hour idle.
        for hour in range(21):
            orders(3600 * hour, 1 - hour % 2)
        orders(3600 * 21, 0)
        # 90 % of an hour is 54 minutes; five before that it orders.
        assert [orders(3600 * 21 + 60 * m, 0) for m in (20, 48, 49, 60, 67)] == [0, 0, 1, 1, 0]


class TestForecasts:
    def test_hindsight_is_the_true_maximum_of_each_window(self) -> None:
        known = perfect(place(demand(*[1] * 40, 5, *[1] * 100)))(BEGIN_SECONDS)
        assert known.probability_of_reaching(5, 0) > 0.999
        assert known.probability_of_reaching(6, 0) == 0
        before = perfect(place(demand(*[1] * 41, 5, *[1] * 100)))(BEGIN_SECONDS)
        assert before.probability_of_reaching(5, 0) < 0.01
        assert before.probability_of_reaching(5, 1) > 0.999

    def test_a_forecast_does_not_change_with_the_future(self) -> None:
        rng = np.random.default_rng(1)
        replicas = rng.integers(1, 9, 2000)
        other = replicas.copy()
        other[1201:] = 20
        moment = BEGIN_SECONDS + 1200 * 15
        one, two = (
            forecasts_of(place(demand(*of.tolist())), None, lambda: None)(moment)
            for of in (replicas, other)
        )
        assert one is not None
        assert one == two
        assert one.made_at_seconds == moment


class TestCommand:
    FIELDS = (
        "trace view policy gpus_per_node rho cost gpu_hours idle_gpu_hours idle_by_reason launches "
        "pods_delayed wait_mean wait_p50 wait_p95 wait_p99 cost_usd"
    )

    def trace(self, folder: Path, phase: int) -> str:
        path = folder / f"made_{phase}.csv"
        rows = (f"{600 * n},{10 + 6 * ((n + phase) % 18 < 6)}\n" for n in range(150))
        path.write_text("t_s,requests\n" + "".join(rows), encoding="utf-8")
        return str(path)

    def test_it_writes_the_rows_and_a_summary(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        traces = [self.trace(tmp_path, phase) for phase in (0, 9)]
        out = tmp_path / "rows.json"
        options = ["--days", "0.25", "--rho", "10", "--gpus-per-node", "1", "--gpu-usd-hour", "2"]
        policies = ["--policies", "foresail,empty-10m,oracle", "--seeds", "1-2"]
        nodes.main(["--trace", *traces, *options, *policies, "--json", str(out)])
        document = json.loads(out.read_text(encoding="utf-8"))
        first = document["rows"][0]
        assert " ".join(first) == self.FIELDS
        assert first["cost_usd"] == 2 * first["gpu_hours"]
        found = {(row["trace"], row["view"], row["policy"]) for row in document["rows"]}
        assert ("made_0", "usual", "oracle") in found
        # Of two traces, each is compared with what is best on the other, their sum with both.
        assert sum(row["view"] == "tuned-elsewhere" for row in document["rows"]) == 3
        (gap,) = document["gap"]
        assert gap["policy"] == "foresail"
        assert len(gap["gap_closed_by_draw"].split(", ")) == 2
        assert "gap" in capsys.readouterr().out

    def test_launches_are_drawn_by_its_seed(self, tmp_path: Path) -> None:
        trace, found = self.trace(tmp_path, 0), {}
        for seeds in ("1", "2", "1-2"):
            out = tmp_path / f"{seeds}.json"
            options = ["--days", "0.25", "--rho", "10", "--gpus-per-node", "1", "--seeds", seeds]
            options += ["--policies", "empty-10m,oracle", "--view", "usual", "--json", str(out)]
            nodes.main(["--trace", trace, *options])
            rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
            found[seeds] = {row["policy"]: row for row in rows}
        first, second, both = (found[seeds]["empty-10m"] for seeds in ("1", "2", "1-2"))
        assert first["cost"] != second["cost"]
        for figure in ("cost", "gpu_hours", "idle_gpu_hours", "launches", "pods_delayed"):
            assert both[figure] == pytest.approx((first[figure] + second[figure]) / 2), figure
        # The oracle counts with expected times.
        assert found["1"]["oracle"]["cost"] == found["2"]["oracle"]["cost"]

    def test_a_trace_that_is_not_there_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nodes.main(["--data", str(tmp_path)])
        text = capsys.readouterr().out
        assert "nasa_jul95_1m is skipped, there is no" in text
        assert "no trace is left" in text

    def test_a_policy_that_nobody_knows_is_refused(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            nodes.main(["--policies", "empty-7m"])
        assert "'empty-7m' is none of foresail" in capsys.readouterr().err
