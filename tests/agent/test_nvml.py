"""The reading of NVML: every recorded machine comes back as it was, and nothing is invented."""

import subprocess
import sys
from typing import Any

import pynvml
import pytest

from scheduler.agent import nvml
from scheduler.agent.nvml import NvmlMachine
from scheduler.agent.scrub import scrubbed
from tests.agent.driver import Driver
from tests.agent.machines import NAMES, told

Json = Any


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def reading(driver: Driver) -> Json:
        monkeypatch.setattr(nvml, "nvml", driver)
        found = NvmlMachine().read()
        assert driver.open == 0  # nothing holds the driver between two readings
        return {key: value for key, value in found.items() if key != "bootId"}

    return reading


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_is_read_as_its_driver_answers(read: Any, name: str) -> None:
    machine = told(name)

    assert read(Driver(machine)) == {**machine, "source": "recorded"}


def test_a_gpu_that_is_lost_is_in_its_place_and_in_no_pair(read: Any) -> None:
    machine = told("a100-4-pairs")
    machine["gpus"][1] = {"error": "GPU_IS_LOST"}

    found = read(Driver(machine))

    assert found["gpus"][1] == {"error": "GPU_IS_LOST"}
    assert [pair["of"] for pair in found["pairs"]] == [[0, 2], [0, 3], [2, 3]]


def test_an_older_driver_is_asked_about_the_fabric_in_an_older_form(read: Any) -> None:
    machine = told("gb200-tray")
    older = Driver(machine, fabric_forms=(pynvml.c_nvmlGpuFabricInfo_v2_t,))

    fabric = read(older)["gpus"][0]["fabric"]

    assert fabric == {**machine["gpus"][0]["fabric"], "healthSummary": 0}


def test_a_refusal_that_pynvml_has_no_name_for_is_its_number(read: Any) -> None:
    machine = told("t4-1")

    class Newer(Driver):
        def nvmlDeviceGetMemoryInfo(self, gpu: Json) -> Json:  # noqa: N802
            raise pynvml.NVMLError(777)

    assert read(Newer(machine))["gpus"][0]["memoryBytes"] == {"error": "777"}


def test_a_recording_to_send_has_no_uuid_of_the_machine_and_no_boot() -> None:
    secret = "1f2e3d4c-5b6a-7980-1234-56789abcdef0"
    zeros = "00000000-0000-0000-0000-000000000000"
    machine = told("a100-2-mig")
    machine["bootId"] = secret
    machine["gpus"][0]["uuid"] = f"GPU-{secret}"
    machine["gpus"][0]["mig"]["instances"][0]["uuid"] = f"MIG-GPU-{secret.upper()}/2/0"
    machine["gpus"][0]["fabric"] = {"clusterUuid": zeros}

    sent: Json = scrubbed(machine)

    assert secret not in str(sent).lower()
    given = sent["gpus"][0]["uuid"].removeprefix("GPU-")
    assert sent["gpus"][0]["mig"]["instances"][0]["uuid"] == f"MIG-GPU-{given}/2/0"
    assert sent["gpus"][0]["fabric"] == {"clusterUuid": zeros}  # no cluster, and not an unknown one
    assert given not in {zeros, sent["gpus"][1]["uuid"].removeprefix("GPU-")}
    assert sent["gpus"][0]["pciBusId"] == machine["gpus"][0]["pciBusId"]


def test_only_the_agent_on_a_real_machine_loads_pynvml() -> None:
    program = (
        "import sys, foresail.cli, foresail.placement.agent;"
        " import scheduler.machines, scheduler.extender;"
        " sys.exit('pynvml' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
