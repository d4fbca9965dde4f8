"""The recorded machines of tests/fixtures/machines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet.cluster.report import Report
from scheduler.agent.recording import Recording
from scheduler.agent.survey import report_of

FOLDER = Path(__file__).parents[1] / "fixtures" / "machines"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
REFUSED = {"error": "NOT_SUPPORTED"}

Json = Any


def told(name: str) -> Json:
    """What NVML said on this machine; the caller may change it."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def report(recording: Json) -> Report:
    return report_of(Recording.model_validate(recording))


def answers(value: Json, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a GPU NVML was asked something that it could refuse."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in {"mig", "health", "link"}:
                yield (*at, key)
            if key != "fabric":  # one answer
                yield from answers(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from answers(inner, (*at, index))
