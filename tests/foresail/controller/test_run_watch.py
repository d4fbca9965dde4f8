"""A gang's nodes are held until its run ends, not for ever; its cost comes back as tags."""

from collections.abc import AsyncIterator

import pytest

from foresail.controller.controller import Connections
from tests.foresail.controller.mlflow_server import MemoryRuns, mlflow_in_memory
from tests.foresail.controller.run_hall import MINUTE, Hall, hall_of
from tests.policies.test_assess import NOW

pytestmark = pytest.mark.looptime(False)  # sockets live in real time
USD_PER_GPU_HOUR = 6.88
"""The list price of a p5.48xlarge ÷ 8."""


@pytest.fixture
async def runs() -> AsyncIterator[MemoryRuns]:
    async with mlflow_in_memory() as server:
        server.begin("r1", NOW - 30 * MINUTE)
        yield server


@pytest.fixture
def hall(runs: MemoryRuns) -> Hall:
    return hall_of(runs.url)


async def test_the_nodes_of_a_gang_are_held_until_its_run_ends_and_then_let_go(
    runs: MemoryRuns, hall: Hall
) -> None:
    for step in range(0, 990, 10):
        runs.log("r1", step, hall.now + step)
    # Step 980 came at second 980, so the last is due at second 1,000.
    assert await hall.round(after=980) == "hold"
    runs.end("r1", hall.now + 20)
    assert await hall.round(after=25 * MINUTE) == "hold"
    assert await hall.round(after=6 * MINUTE) != "hold"


async def test_a_stalled_run_does_not_hold_for_ever(runs: MemoryRuns, hall: Hall) -> None:
    for step in range(0, 50, 10):
        runs.log("r1", step, hall.now + 6 * step)
    assert await hall.round(after=10 * MINUTE) == "hold"
    assert hall.remarks == ()
    # It stalls half an hour after step 40, and half an hour later nothing is held.
    assert await hall.round(after=25 * MINUTE) == "hold"
    assert "JobSet llm/tune: its MLflow run r1 is stalled" in hall.remarks[0]
    assert await hall.round(after=32 * MINUTE) != "hold"


async def test_a_run_with_more_points_than_are_read_is_neither_stalled_nor_about_to_end(
    runs: MemoryRuns, hall: Hall
) -> None:
    runs.points_a_page = 5
    for step in range(60):
        runs.log("r1", step, hall.now + MINUTE * step)
    # The 50 points that are read end ten minutes before now, and much earlier in the end.
    assert await hall.round(after=59 * MINUTE) == "hold"
    asked = runs.histories_asked
    for step in range(60, 200):
        runs.log("r1", step, hall.now + MINUTE * (step - 59))
    assert await hall.round(after=141 * MINUTE) == "hold"
    assert "stalled" not in hall.remarks[0]
    assert "JobSet llm/tune: its MLflow run r1 has logged more points than are" in hall.remarks[0]
    assert runs.histories_asked == asked  # the same again would cost seconds each minute

    runs.end("r1", hall.now)
    assert await hall.round(after=31 * MINUTE) != "hold"
    assert hall.remarks == ()


async def test_what_the_server_said_last_stands_while_it_does_not_answer(
    runs: MemoryRuns, hall: Hall
) -> None:
    runs.log("r1", 0, hall.now)
    runs.log("r1", 100, hall.now + 10 * MINUTE)
    assert await hall.round(after=10 * MINUTE) == "hold"
    runs.down = True
    # It was to end 100 min after NOW, and half an hour after that nothing is held.
    assert await hall.round(after=60 * MINUTE) == "hold"
    assert "503 no database" in hall.remarks[0]
    assert await hall.round(after=61 * MINUTE) != "hold"


async def test_what_a_run_cost_is_in_its_tags(runs: MemoryRuns, hall: Hall) -> None:
    runs.log("r1", 1, hall.now)
    await hall.round()
    # 8 GPUs for the 30 min since the pod started.
    assert runs.tags("r1")["foresail.gpu_hours"] == "4.0000"
    assert float(runs.tags("r1")["foresail.usd"]) == pytest.approx(4 * USD_PER_GPU_HOUR)

    await hall.round(after=3 * MINUTE)
    assert runs.tags("r1")["foresail.gpu_hours"] == "4.0000"  # written each 10 min
    runs.end("r1", hall.now + 60)
    await hall.round(after=3 * MINUTE)
    assert runs.tags("r1")["foresail.gpu_hours"] == "4.4000"


async def test_a_restart_goes_on_from_the_tags(runs: MemoryRuns, hall: Hall) -> None:
    # 20 GPU-hours were of pods that were replaced since.
    runs.begin("r1", NOW - 300 * MINUTE, **{"foresail.gpu_hours": "20", "foresail.usd": "99"})
    await hall.round()
    await hall.round(after=10 * MINUTE)
    tags = runs.tags("r1")
    assert tags["foresail.gpu_hours"] == f"{20 + 8 / 6:.4f}"
    assert tags["foresail.usd"] == f"{99 + 8 / 6 * USD_PER_GPU_HOUR:.2f}"


async def test_a_policy_that_advises_writes_no_tag(runs: MemoryRuns) -> None:
    hall = hall_of(runs.url, "mode: advise")
    await hall.round()
    assert runs.tags("r1") == {}


async def test_a_replica_that_does_not_lead_writes_no_tag(runs: MemoryRuns, hall: Hall) -> None:
    await hall.round(leads=False)
    assert runs.tags("r1") == {}


async def test_a_controller_that_only_advises_writes_no_tag(runs: MemoryRuns, hall: Hall) -> None:
    hall.watch.writes = False
    await hall.round()
    assert runs.tags("r1") == {}


async def test_the_last_cost_is_written_when_the_gang_is_gone(runs: MemoryRuns, hall: Hall) -> None:
    await hall.round()
    await hall.round(after=5 * MINUTE)
    await hall.round(after=MINUTE, gang=False)
    assert runs.tags("r1")["foresail.gpu_hours"] == f"{4 + 8 * 5 / 60:.4f}"


def test_no_mlflow_is_asked_unless_one_is_named() -> None:
    assert Connections.__dataclass_fields__["runs"].default is None
