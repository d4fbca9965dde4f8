"""Rules of a reader's own beside the shipped ones: Python files, and manifests of today's rule."""

import ast
import json
from itertools import chain
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "replay" / "peers"
WRITTEN_AGAINST_THE_PORT = ("sky_serve", "ray_serve")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """An hour, of which the second third has twice the requests."""
    path = tmp_path / "traffic.csv"
    rows = [(60 * m, 600 if 20 <= m < 40 else 300) for m in range(60)]
    path.write_text(
        "t_s,requests,prompt_tokens,output_tokens\n"
        + "".join(f"{at},{count},{count * 800},{count * 200}\n" for at, count in rows)
    )
    return path


def replayed(trace: Path, *arguments: object) -> Result:
    words = ["replay", str(trace), "--scale-to", "3", *map(str, arguments)]
    return CliRunner().invoke(main, words)


def results(trace: Path, *arguments: object) -> dict[str, dict[str, float]]:
    file = trace.with_name("results.json")
    done = replayed(trace, *arguments, "--json", file)
    assert done.exit_code == 0, done.output
    return json.loads(file.read_text())["usual"]


def written(folder: Path, text: str, name: str = "my_rule.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def example() -> str:
    page = (ROOT / "docs" / "own-rule.md").read_text()
    return page.split("```python\n")[1].split("```")[0]


def test_the_rule_of_the_page_is_ranked_under_the_name_of_its_file(
    trace: Path, tmp_path: Path
) -> None:
    assert len(example().strip().splitlines()) <= 20
    found = results(trace, "--rule", written(tmp_path, example()), "--against", "static-mean")
    assert list(found) == ["foresail", "my_rule", "static-mean"]
    assert found["my_rule"]["requests"] == pytest.approx(found["static-mean"]["requests"])
    assert found["my_rule"]["actions"] > 0


def test_a_shipped_peer_is_the_same_rule_from_its_file(trace: Path) -> None:
    files = [("--rule", PEERS / f"{peer}.py") for peer in WRITTEN_AGAINST_THE_PORT]
    from_file = results(trace, *chain(*files), "--against", "static-mean")
    shipped = results(trace, "--against", "sky-qps,ray-ongoing,static-mean")
    assert from_file == shipped


@pytest.mark.parametrize("peer", WRITTEN_AGAINST_THE_PORT)
def test_a_peer_of_the_port_imports_nothing_else_of_ours(peer: str) -> None:
    tree = ast.parse((PEERS / f"{peer}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"math", "replay.policies.port", "replay.policies.windows"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("class Rule\n", "my_rule.py:1: SyntaxError", id="no-python"),
        pytest.param("x = 1\n", "no class `Rule` with a method `decide(self, seen)`", id="no-rule"),
        pytest.param(
            "class Rule:\n  def __init__(self, known): pass\n  def decide(self, seen):\n"
            "    return 0.5\n",
            "Rule.decide returned 0.5 at second 0: return a whole number",
            id="no-whole-number",
        ),
        pytest.param(
            "class Rule:\n  def __init__(self, known): pass\n  def decide(self, seen):\n"
            "    return seen.queue\n",
            "my_rule.py:4: AttributeError",
            id="raises",
        ),
        pytest.param(
            "class Rule:\n  name = 'keda-waiting'\n  def decide(self, seen): return 1\n",
            "'keda-waiting' is the name of a shipped rule",
            id="a-shipped-name",
        ),
    ],
)
def test_a_fault_of_a_rule_names_its_file_and_line(
    trace: Path, tmp_path: Path, text: str, message: str
) -> None:
    done = replayed(trace, "--rule", written(tmp_path, text), "--against", "static-mean")
    assert done.exit_code == 1
    assert message in done.output


SCALED_OBJECT = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llama, namespace: llm}
spec:
  scaleTargetRef: {name: llama}
  minReplicaCount: 2
  maxReplicaCount: 64
  pollingInterval: 15
  cooldownPeriod: 360
  triggers:
  - type: prometheus
    metadata:
      serverAddress: http://prometheus:9090
      query: sum(vllm:num_requests_waiting{model_name="llama"}) or vector(0)
      threshold: "5"
"""


def test_a_manifest_of_the_tutorial_is_the_shipped_rule_of_it(trace: Path, tmp_path: Path) -> None:
    manifest = written(
        tmp_path, SCALED_OBJECT.replace("minReplicaCount: 2", "minReplicaCount: 1"), "rule.yaml"
    )
    found = results(trace, "--rule", manifest, "--against", "keda-waiting")
    for field in ("gpuHours", "attainment", "actions"):
        assert found["yours"][field] == found["keda-waiting"][field]


def test_a_cron_trigger_wants_traffic_with_a_clock(trace: Path, tmp_path: Path) -> None:
    cron = """  - type: cron
    metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "3"}
"""
    manifest = written(tmp_path, SCALED_OBJECT + cron, "rule.yaml")
    done = replayed(trace, "--rule", manifest, "--against", "static-mean")
    assert done.exit_code == 1
    assert "its cron trigger goes by the clock, and the traffic 'traffic' has none" in done.output
    assert "Give its rows Unix times" in done.output


def test_the_bounds_of_a_manifest_bind_its_rule_alone(trace: Path, tmp_path: Path) -> None:
    capped = SCALED_OBJECT.replace("maxReplicaCount: 64", "maxReplicaCount: 2")
    manifest = written(tmp_path, capped, "rule.yaml")
    found = results(trace, "--rule", manifest, "--against", "static-mean")
    # Two replicas over the 40 judged minutes, and what the cap took away in the run-in.
    assert found["yours"]["gpuHours"] == pytest.approx(2 * 40 / 60, abs=0.1)
    assert found["foresail"]["gpuHours"] > found["yours"]["gpuHours"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(('"5"', '"0"'), "threshold is '0': above 0", id="threshold"),
        pytest.param(
            ("sum(vllm:num_requests_waiting", "sum(nginx_queue"),
            "'nginx_queue' cannot be replayed",
            id="another-metric",
        ),
        pytest.param(("type: prometheus", "type: cpu"), "'cpu' is not replayed", id="cpu"),
        pytest.param(("kind: ScaledObject", "kind: ScaledThing"), "found: none", id="no-rule"),
    ],
)
def test_what_cannot_be_replayed_of_a_manifest_is_said(
    trace: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    done = replayed(trace, "--rule", written(tmp_path, SCALED_OBJECT.replace(*change), "r.yaml"))
    assert done.exit_code == 1
    assert message in done.output
