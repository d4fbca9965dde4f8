"""`foresail backtest` against a real Prometheus that holds a past."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from tests import prometheus
from tests.prometheus import PrometheusServer

HOURS = 5
REQUESTS_PER_SECOND = 6.0


def backfilled(folder: Path, *, now: int) -> None:
    """Hours of a vLLM with two replicas, in blocks as `promtool` makes them, with a hole."""
    names = {
        "vllm:request_success_total": REQUESTS_PER_SECOND / 2,
        "vllm:prompt_tokens_total": 600 * REQUESTS_PER_SECOND / 2,
        "vllm:generation_tokens_total": 200 * REQUESTS_PER_SECOND / 2,
    }
    begin = (now - HOURS * 3600) // 60 * 60
    hole = range(begin + 7200, begin + 7200 + 1200)
    lines = []
    for name, rate in names.items():
        lines.append(f"# TYPE {name.removesuffix('_total')} counter")
        for pod in ("a", "b"):
            lines += [
                f'{name}{{model_name="llama",engine="0",pod="{pod}",namespace="team",'
                f'finished_reason="stop"}} {rate * (at - begin)} {at}'
                for at in range(begin, now, 30)
                if at not in hole
            ]
    for name, value in (("vllm:num_requests_running", 9), ("vllm:num_requests_waiting", 0)):
        lines.append(f"# TYPE {name} gauge")
        for pod in ("a", "b"):
            lines += [
                f'{name}{{model_name="llama",engine="0",pod="{pod}",namespace="team"}} {value} {at}'
                for at in range(begin, now, 30)
                if at not in hole
            ]
    text = folder / "past.txt"
    text.write_text("\n".join([*lines, "# EOF"]) + "\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    prometheus.require()
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"))
    server.configure()
    backfilled(server.folder, now=int(time.time()))  # noqa: TID251 - the server's clock is real
    server.start()
    yield server
    server.kill()


@pytest.fixture
def config(server: PrometheusServer, tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(f"sources:\n- name: prod\n  prometheus: {{url: {server.url}}}\n")
    return path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["backtest", "--config", str(config), *arguments])


def test_the_past_of_a_workload_becomes_a_replay(config: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = run(
        config, "--model", "llama", "--namespace", "team", "--days", "0.2", "--against",
        "static-mean", "--json", str(results),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads(results.read_text())
    # Six requests a second, unscaled, from two pods together.
    assert document["requests"] / document["seconds"] == pytest.approx(
        REQUESTS_PER_SECOND, rel=0.03
    )
    assert "as it was: " in done.output
    replica_hours = float(done.output.split("as it was: ")[1].split()[0])
    assert replica_hours == pytest.approx(2 * (HOURS - 1 / 3) * 0.96, rel=0.06)


def test_a_hole_in_the_past_is_told(config: Path) -> None:
    done = run(config, "--model", "llama", "--days", "0.2", "--against", "static-mean")
    assert "nothing is known of" in done.output
    unknown = int(done.output.split("nothing is known of ")[1].split()[0])
    assert 18 <= unknown <= 24


def test_a_model_that_nobody_serves_is_named(config: Path) -> None:
    done = run(config, "--model", "lama", "--days", "0.2")
    assert done.exit_code == 1
    assert "model 'lama'" in done.output
    assert "is the model's name the one in the metrics" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--source", "dev"), "--source 'dev': the settings have prod", id="source"),
        pytest.param(("--match", "team"), "--match 'team' is not of the form", id="match"),
        pytest.param(("--engine", "vlm"), "--engine 'vlm' is none of", id="engine"),
    ],
)
def test_what_cannot_be_asked_is_said(
    config: Path, arguments: tuple[str, str], message: str
) -> None:
    done = run(config, "--model", "llama", *arguments)
    assert done.exit_code == 1
    assert message in done.output


def test_an_export_stands_in_for_a_prometheus(tmp_path: Path) -> None:
    export, results = tmp_path / "export.csv", tmp_path / "results.json"
    export.write_text(
        "time,requests_per_second,prompt_tokens_per_second,generated_tokens_per_second\n"
        + "".join(f"{60 * minute},6,4800,1200\n" for minute in range(40))
    )
    done = CliRunner().invoke(
        main,
        ["backtest", "--from", str(export), "--against", "static-mean", "--json", str(results)],
    )
    assert done.exit_code == 0, done.output
    document = json.loads(results.read_text())
    assert document["requests"] / document["seconds"] == pytest.approx(6, rel=0.03)


def exported(path: Path, *, days: float, columns: str, row: str) -> Path:
    """An export of even traffic by the minute."""
    steps = round(days * 1440)
    path.write_text(f"time,{columns}\n" + "".join(f"{60 * m},{row}\n" for m in range(steps)))
    return path


def test_days_cut_an_export_to_its_last(tmp_path: Path) -> None:
    rates = "requests_per_second,prompt_tokens_per_second,generated_tokens_per_second"
    export = exported(tmp_path / "export.csv", days=0.1, columns=rates, row="6,4800,1200")
    results = tmp_path / "results.json"
    done = CliRunner().invoke(
        main,
        ["backtest", "--from", str(export), "--days", "0.05", "--against", "static-mean",
         "--json", str(results)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    # A twentieth of a day is 72 minutes, of which the first sixth is the past.
    assert json.loads(results.read_text())["seconds"] == 60 * 60


def test_an_export_of_requests_only_takes_its_tokens_from_the_options(tmp_path: Path) -> None:
    export = exported(tmp_path / "export.csv", days=0.03, columns="requests_per_second", row="6")
    arguments = ["backtest", "--from", str(export), "--against", "static-mean"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1
    assert "--prompt-tokens 800 --output-tokens 200" in refused.output
    done = CliRunner().invoke(main, [*arguments, "--prompt-tokens", "700", "--output-tokens", "90"])
    assert done.exit_code == 0, done.output
    assert "of 700 prompt and 90 generated tokens" in " ".join(done.output.split())


def test_a_backtest_needs_something_to_read() -> None:
    done = CliRunner().invoke(main, ["backtest"])
    assert done.exit_code == 2
    assert "one of --prometheus and --model, --config and --model, or --from" in done.output


@pytest.mark.parametrize(
    ("option", "value"), [("--ttft", "1s"), ("--gpu-price", "2.5"), ("--match", "role=decode")]
)
def test_an_option_that_changes_nothing_with_rates_is_refused(
    tmp_path: Path, option: str, value: str
) -> None:
    export = exported(tmp_path / "export.csv", days=0.03, columns="requests_per_second", row="6")
    tokens = ["--prompt-tokens", "700", "--output-tokens", "90"]
    done = CliRunner().invoke(main, ["backtest", "--from", str(export), *tokens, option, value])
    assert done.exit_code == 2
    assert f"{option} changes nothing with rates" in done.output


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--against", "keda-waiting"], "--against"),
        (["--sweep"], "--sweep"),
        (["--nodes", "--gpus-per-node", "8"], "--nodes"),
    ],
)
def test_an_option_of_a_comparison_by_a_plan_is_refused_in_an_answer(
    words: list[str], option: str
) -> None:
    asked = ["backtest", "--prometheus", "http://127.0.0.1:9", "--model", "m", *words]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2
    assert f"{option} changes nothing with series of engines" in " ".join(done.output.split())
