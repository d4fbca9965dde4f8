"""The chart's dashboards over a day that was played: asked of the bed's Prometheus, and drawn."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from scripts.dashboards.__main__ import DASHBOARDS, FOLDER
from scripts.dashboards.answers import data_of
from scripts.dashboards.asking import LabelValues, TimeRange
from scripts.dashboards.filling import filled
from scripts.dashboards.picture import picture
from tests.e2e.bed import ROOT
from tests.e2e.day_controller import POLICY
from tests.e2e.processes import Program
from tests.e2e.site import Site
from tests.prometheus import Job, free_port

SCRAPE_SECONDS = 5
"""What Grafana's data source would say. The bed scrapes each second, so that no rate is empty."""
_NODE = {
    "eks.amazonaws.com/nodegroup": "gpus",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "node.kubernetes.io/instance-type": "p5.48xlarge",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A Prometheus over HTTP, as Grafana asks it."""

    url: str

    def values(self, asked: LabelValues, time: TimeRange) -> Sequence[str]:
        answer = self._get(
            f"label/{asked.label}/values",
            {"match[]": asked.selector, "start": time.begin_seconds, "end": time.end_seconds},
        )
        found: list[str] = data_of(answer)
        return found

    def at_end(self, expr: str, time: TimeRange) -> dict[str, Any]:
        return self._get("query", {"query": expr, "time": time.end_seconds})

    def over(self, expr: str, time: TimeRange, step_seconds: int) -> dict[str, Any]:
        return self._get(
            "query_range",
            {
                "query": expr,
                "start": time.begin_seconds,
                "end": time.end_seconds,
                "step": step_seconds,
            },
        )

    def _get(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(
            f"{self.url}/api/v1/{path}", params=asked, timeout=30
        ).json()
        return answer


def controller_job() -> Job:
    """Of a controller that is to be started."""
    return Job(name="foresail-controller", address=f"127.0.0.1:{free_port()}")


@contextmanager
def controller(site: Site, job: Job) -> Iterator[None]:
    """`foresail controller` that only looks; the bed's node is one of H100s."""
    bed = site.bed
    bed.apply(*yaml.safe_load_all((ROOT / "deploy/crds/capacitypolicies.yaml").read_text()))
    bed.wait_for_kinds()
    bed.kubectl("label", "node", "node-a", *(f"{name}={text}" for name, text in _NODE.items()))
    policy = bed.folder / "policy.yaml"
    policy.write_text(POLICY)
    command = (
        *(sys.executable, "-m", "foresail.cli", "controller", "--mode", "observe"),
        *("--policy", policy, "--http", job.address, "--kubeconfig", bed.kubeconfig("admin")),
    )
    program = Program("foresail-controller", [*map(str, command)], bed.folder)
    program.start()
    try:
        bed.wait(
            lambda: "foresail_controller_round_timestamp_seconds" in site.prometheus.names(),
            "a round of the controller",
        )
        yield
    finally:
        program.stop()


def draw(site: Site, folder: Path, *, dawn_seconds: float, seconds: float, day: str) -> None:
    """All dashboards of the chart, as files in the folder."""
    time = TimeRange(
        begin_seconds=dawn_seconds,
        end_seconds=dawn_seconds + seconds,
        scrape_seconds=SCRAPE_SECONDS,
    )
    caption = (
        "Drawn by `python -m tests.e2e day --dashboards`, not by Grafana, from the dashboard's JSON"
        f" and a real Prometheus. {day.capitalize()} was played in {seconds:g} s;"
        " x is the hour of that day."
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        dashboard = json.loads((FOLDER / name).read_text())
        there = filled(dashboard, time, Asked(url=site.prometheus.url))
        path = (folder / name).with_suffix(".svg")
        path.write_text(picture(there, caption=caption, hours=24.0))
        empty = [panel.title for panel in there.panels if panel.kind != "row" and panel.empty]
        print(f"{path}: no data in {len(empty)}: {', '.join(empty)}")  # noqa: T201
