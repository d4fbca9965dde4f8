"""A planning process that cannot be started at all."""

import sys

import pytest

from foresail.serve.planner_process import Planner
from foresail.settings.file import Settings
from scaler.errors import ForesailError

pytestmark = pytest.mark.looptime(False)  # processes need real time


async def test_a_node_that_can_start_no_process_is_an_error_that_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`serve` catches `ForesailError`, waits and starts a planner again; any other ends it."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    settings = Settings.model_validate(
        {"sources": [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}]}
    )

    with pytest.raises(ForesailError, match=r"cannot be started: .*/no/such/python"):
        await Planner.start(settings, "warning")
