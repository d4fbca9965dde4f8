"""The activity of GPUs, asked of a real Prometheus that holds DCGM's series."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from fleet.activity import Host
from fleet.measured import UnmeasuredError, measured
from tests import prometheus
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.looptime(False)  # Prometheus lives in real time

ENGINE, UTILISATION = "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_GPU_UTIL"
SERIES = {
    # By minutes before now.
    (ENGINE, 0, "a"): {50: 0.9, 29: 0.0, 15: 0.0, 2: 0.0},
    (ENGINE, 1, "b"): {50: 0.0, 29: 0.0, 15: 0.4, 2: 0.0},
    (UTILISATION, 1, "b"): {15: 0.0, 2: 0.0},  # the engine knows better
    (UTILISATION, 2, "b"): {15: 0.0, 2: 97.0},
    (ENGINE, 3, "c"): {50: 0.9},  # and nothing since
}


def page(now_seconds: float) -> str:
    lines = []
    for metric in (ENGINE, UTILISATION):
        lines.append(f"# TYPE {metric} gauge")
        for (name, gpu, pod), values in SERIES.items():
            labels = f'gpu="{gpu}",UUID="GPU-{gpu}",Hostname="n1",exported_pod="{pod}"'
            labels += ',exported_namespace="llm",pod="dcgm-exporter-x",namespace="gpu-operator"'
            lines += [
                f"{name}{{{labels}}} {value} {now_seconds - 60 * ago:.3f}"
                for ago, value in sorted(values.items(), reverse=True)
                if name == metric
            ]
    return "\n".join([*lines, "# EOF\n"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    prometheus.require()
    folder = tmp_path_factory.mktemp("prometheus")
    one = PrometheusServer(folder)
    (folder / "page").write_text(page(time.time()))  # noqa: TID251
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "page", one.data],
        check=True,
        capture_output=True,
    )
    one.configure()
    one.start()
    yield one
    one.kill()


async def test_what_was_busy_once_in_the_window_is_busy(server: PrometheusServer) -> None:
    activity = await measured(f"{server.url}/", 1800.0)

    assert activity.hosts == {
        "n1": Host(
            busy={"GPU-0": False, "GPU-1": True, "GPU-2": True},
            owners={"GPU-0": "llm/a", "GPU-1": "llm/b", "GPU-2": "llm/b"},
        )
    }


async def test_a_prometheus_without_dcgm_measures_nothing(server: PrometheusServer) -> None:
    assert (await measured(server.url, 1.0)).hosts == {}


@pytest.mark.parametrize("path", ["/nowhere", "/graph"])
async def test_what_is_no_prometheus_is_named(server: PrometheusServer, path: str) -> None:
    with pytest.raises(UnmeasuredError, match=f"{server.url}{path}: "):
        await measured(server.url + path, 1800.0)


async def test_a_prometheus_that_is_gone_is_named() -> None:
    with pytest.raises(UnmeasuredError, match=r"http://127\.0\.0\.1:1: Cannot connect"):
        await measured("http://127.0.0.1:1", 1800.0)
