"""`foresail backtest --prometheus` on a real Prometheus with a service of which all is known."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from foresail.replaying.rule_files import present_rule_in
from replay.profile import RequestMix, capacity_requests_per_second
from replay.replay_input import USED_RATIO
from tests import prometheus
from tests.foresail.known_service import (
    MODEL,
    PROFILE,
    START_UP_SECONDS,
    KnownService,
    holding,
    played,
)
from tests.prometheus import PrometheusServer

HOURS = 5
WEEK_HOURS = 168
RULE = Path(__file__).parent / "known_rule.yaml"


@pytest.fixture(scope="module")
def rule() -> Path:
    return RULE


@pytest.fixture(scope="module")
def service(rule: Path) -> KnownService:
    prometheus.require()
    end = int(time.time()) // 30 * 30  # noqa: TID251 - the server's clock is real
    return played(present_rule_in(rule), hours=HOURS, end_seconds=end, seed=3, peak=20.0)


@pytest.fixture(scope="module")
def server(
    service: KnownService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    with holding(service, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def backtest(server: PrometheusServer, *arguments: object, model: str = MODEL) -> Result:
    words = ["backtest", "--prometheus", server.url, "--model", model, "--days", HOURS / 24]
    return CliRunner().invoke(main, [*map(str, words), *map(str, arguments)])


@pytest.fixture(scope="module")
def told(server: PrometheusServer, rule: Path) -> dict:
    done = backtest(server, "--rule", rule, "--seeds", 2, "-o", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


class TestEachNumberAgainstTheGenerator:
    def test_what_one_replica_serves_in_time(self, told: dict, service: KnownService) -> None:
        learned = told["replica"]
        mix = RequestMix.constant(learned["promptTokens"], learned["outputTokens"])
        truth = USED_RATIO * capacity_requests_per_second(PROFILE, mix, itl_seconds=0.06)
        assert learned["requestsPerSecond"] == pytest.approx(truth, rel=0.06)
        assert learned["fixedSeconds"] == pytest.approx(PROFILE.fixed_seconds, rel=0.06)
        given = service.replay_input
        for name in ("prompt", "output"):
            tokens = getattr(given, f"{name}_tokens")
            mean = float(given.arrivals @ tokens) / service.requests
            assert learned[f"{name}Tokens"] == pytest.approx(mean, rel=0.06)

    def test_what_was_asked(self, told: dict, service: KnownService) -> None:
        past, given = told["past"], service.replay_input
        assert given.begin_seconds is not None
        # The last five hours by the clock: the first minutes are out while the server is filled.
        begin = int(past["beginSeconds"] - given.begin_seconds)
        read = slice(max(0, begin), begin + int(past["seconds"]))
        arrivals = given.arrivals[read]
        assert past["unknownMinutes"] <= 1
        # The generator counts what arrives, and the engine's counters what has ended.
        assert past["requests"] == pytest.approx(float(arrivals.sum()), rel=0.03)
        for name, tokens in (
            ("promptTokens", given.prompt_tokens),
            ("generatedTokens", given.output_tokens),
        ):
            assert past[name] == pytest.approx(float(arrivals @ tokens[read]), rel=0.04)

    def test_every_start_that_was_seen(self, told: dict, service: KnownService) -> None:
        assert len(service.starts_seconds) > 3
        assert sorted(told["startsSeconds"]) == pytest.approx(
            sorted(service.starts_seconds.values())
        )
        assert median(told["startsSeconds"]) == pytest.approx(START_UP_SECONDS, rel=0.2)

    def test_gpus_and_their_price(self, told: dict) -> None:
        assert told["gpu"] == "2 x h100-sxm"
        assert told["gpuUsdHour"] == 6.88
        for row in told["perWeek"].values():
            assert row["usd"] == pytest.approx([hours * 6.88 for hours in row["gpuHours"]])

    def test_gpu_hours_as_they_were_and_as_the_rule_is_replayed(
        self, told: dict, service: KnownService
    ) -> None:
        truth = service.gpu_hours * WEEK_HOURS / HOURS
        assert told["recordedGpuHoursPerWeek"] == pytest.approx(truth, rel=0.05)
        assert np.mean(told["perWeek"]["yours"]["gpuHours"]) == pytest.approx(truth, rel=0.1)

    def test_requests_in_time_under_the_rule_as_it_is(
        self, told: dict, service: KnownService
    ) -> None:
        # The engine in expectation judges pace by the second, which on three replicas is harsher
        # than by the request: it is never kinder here, and within six points.
        in_time = np.mean(told["perWeek"]["yours"]["inTime"])
        assert service.in_time - 0.06 < in_time <= service.in_time + 0.005

    def test_metadata_to_paste(self, told: dict) -> None:
        metadata, learned = told["metadata"], told["replica"]
        assert (metadata["minReplicas"], metadata["maxReplicas"]) == ("2", "16")
        assert (metadata["model"], metadata["mode"]) == (MODEL, "advise")
        slow = float(np.quantile(told["startsSeconds"], 0.9))
        assert metadata["leadTime"] == f"{slow:.0f}s"
        assert float(metadata["replicaPromptTokensPerSecond"]) == pytest.approx(
            learned["requestsPerSecond"] * learned["promptTokens"], abs=1
        )

    def test_nothing_is_better_than_the_best_possible(self, told: dict) -> None:
        rows = told["perWeek"]
        for name in ("yours", "foresail"):
            for hours, in_time, best in zip(
                rows[name]["gpuHours"],
                rows[name]["inTime"],
                rows["bestPossible"]["gpuHours"],
                strict=True,
            ):
                assert in_time < told["asked"] or hours >= best


def test_the_screen_has_the_answer_and_what_it_rests_on(
    server: PrometheusServer, rule: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    done = backtest(
        server, "--rule", rule, "--seeds", 1, "--ttft", "2s", "--gpu-price", 5, "--html", page
    )
    assert done.exit_code == 0, done.output
    for part in (
        "GPU-hours", "dollars", "in time", "best possible", "Learned from your past:",
        "Assumed:", "How sure:", "To paste under triggers[].metadata:",
        "the objective itl is 60 ms",
    ):  # fmt: skip
        assert part in done.stdout
    assert "say --ttft" not in done.stdout
    assert "say --gpu-price" not in done.stdout
    # A terminal of 24 lines ends with the table and what it comes to.
    last = "\n".join(done.stdout.splitlines()[-14:])
    assert "yours" in last
    assert "best possible" in last
    assert len(done.stdout.splitlines()) <= 48
    assert "<svg" in page.read_text()
    verdict = re.search(r"(Yes, switch|No, your rule is better here|No clear winner): ", last)
    assert verdict is not None
    assert f"<p class=verdict>{verdict[0]}" in page.read_text()


CRON = """  - type: cron
    metadata: {timezone: UTC, start: "0 0 1 1 *", end: "1 0 1 1 *", desiredReplicas: "2"}
"""
"""A minute of the year."""


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        pytest.param("", "yours keeps one replica: no trigger", id="nothing-wakes-it"),
        pytest.param(CRON, "Foresail keeps one replica: vLLM's", id="a-schedule-does"),
    ],
)
def test_a_rule_that_may_rest_at_zero_does_where_something_wakes_it(
    server: PrometheusServer, tmp_path: Path, trigger: str, said: str
) -> None:
    least = re.compile(r"minReplicaCount: \d+")
    assert least.search(RULE.read_text())
    resting = tmp_path / "resting.yaml"
    resting.write_text(least.sub("minReplicaCount: 0", RULE.read_text()) + trigger)
    done = backtest(server, "--rule", resting, "--seeds", 1, "-o", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["metadata"]["minReplicas"] == "1"
    assert any(one.startswith(said) for one in found["assumed"])
    (yours,) = found["perWeek"]["yours"]["gpuHours"]
    assert yours > WEEK_HOURS * PROFILE.gpus  # there are requests all the time


def test_without_a_rule_the_recorded_fleet_stands_for_it(
    server: PrometheusServer, service: KnownService
) -> None:
    done = backtest(server, "--seeds", 1, "-o", "yaml")
    assert done.exit_code == 0, done.output
    assert "rule: your fleet as it was recorded, minute by minute" in done.stdout
    assert "your fleet as recorded stands for your rule" in " ".join(done.stdout.split())


def test_a_model_that_is_not_there_is_told_with_those_that_are(server: PrometheusServer) -> None:
    done = backtest(server, model="lama-70b")
    assert done.exit_code == 1
    assert "--model 'lama-70b': no series of" in done.output
    assert f"did you mean {MODEL}?; models seen there: {MODEL}" in done.output


def test_a_namespace_that_does_not_serve_it_is_told_with_those_that_do(
    server: PrometheusServer,
) -> None:
    done = backtest(server, "-n", "lm")
    assert done.exit_code == 1
    assert f"-n 'lm': no series of {MODEL} there" in done.output
    assert "did you mean llm?; namespaces seen there: llm" in done.output


def test_twenty_minutes_are_no_past(server: PrometheusServer) -> None:
    done = backtest(server, "--days", 20 / 1440)
    assert done.exit_code == 2  # the least that --days takes is half an hour
    done = backtest(server, "--days", 0.02)
    assert done.exit_code == 1
    assert re.search(
        r"llm/llama-70b: \d+ minutes of requests .* at least 30 are needed", done.output
    )
    assert "do more --days help?" in done.output


def test_an_address_without_http_is_told_how_to_write_it() -> None:
    words = ["backtest", "--prometheus", "127.0.0.1:9090", "--model", MODEL]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "'127.0.0.1:9090' is no http or https address: write it as http://HOST:PORT" in (
        done.output
    )


def test_an_address_without_a_prometheus_is_an_error_and_no_traceback() -> None:
    done = CliRunner().invoke(
        main, ["backtest", "--prometheus", "http://127.0.0.1:9", "--model", MODEL]
    )
    assert done.exit_code == 1
    assert "http://127.0.0.1:9" in done.output
