"""Write the chart's dashboards: python -m scripts.dashboards."""

import json
from pathlib import Path
from typing import Final

from scripts.dashboards import nodes, operator, workload
from scripts.dashboards.grafana import Dashboard, grafana

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "chart" / "foresail" / "files" / "dashboards"
DASHBOARDS: Final = {
    "operator.json": operator.DASHBOARD,
    "workload.json": workload.DASHBOARD,
    "nodes.json": nodes.DASHBOARD,
}


def text(dashboard: Dashboard) -> str:
    """Of the file."""
    return json.dumps(grafana(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(text(dashboard))
