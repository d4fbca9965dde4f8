"""`foresail tune --ray` on a real Ray cluster."""

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ray_cluster import RayCluster

ROOT = Path(__file__).parent.parent.parent
MINUTES = 50


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    folder = tmp_path_factory.mktemp("ray")
    # Ray's own environment first, and what it lacks of Foresail's after it.
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({sysconfig.get_path('purelib')!r})\n"
    )
    cluster = RayCluster(folder, python_path=[ROOT])
    try:
        cluster.wait_until_up()
        yield cluster
    finally:
        cluster.stop()


def test_a_sweep_on_ray_has_the_results_of_local_cores_to_the_digit(
    ray: RayCluster, tmp_path: Path
) -> None:
    trace, plan, state = (tmp_path / name for name in ("calm.csv", "plan.yaml", "state.jsonl"))
    rows = (f"{60 * minute},{300 + 3 * minute},240000,60000" for minute in range(MINUTES))
    trace.write_text("t_s,requests,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    plan.write_text(
        "startUp:\n- {name: node, median: 90s, oncePerNode: true}\n"
        "- {name: weights, median: 60s}\ngpuUsdHour: 2\n"
    )
    tune = (
        "python", "-m", "foresail.cli", "tune", str(trace), "--plan", str(plan),
        "--rules", "static-mean,sky-qps", "--policy", "balanced", "-o", "json",
    )  # fmt: skip
    local = ray.run(*tune)
    assert local.returncode == 0, local.stderr
    on_ray = ray.run(*tune, "--ray", ray.address, "--state", str(state))
    assert on_ray.returncode == 0, on_ray.stderr
    assert on_ray.stdout == local.stdout
    assert len(json.loads(local.stdout)["tuned"]) == 2
    # Seven settings of each rule, and the nodes: what is finished there is not run again here.
    assert len(state.read_text().splitlines()) == 15
    again = ray.run(*tune, "--state", str(state))
    assert again.stdout == local.stdout
    assert len(state.read_text().splitlines()) == 15
