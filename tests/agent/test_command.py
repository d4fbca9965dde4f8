"""`foresail agent` as an operator runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from tests.agent.machines import FOLDER, report, told


def agent(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["agent", *arguments], env={"COLUMNS": "120", "NODE_NAME": ""})


def recorded(name: str) -> str:
    return str(FOLDER / f"{name}.json")


def test_the_matrix_shows_bridges_and_the_way_over_pcie() -> None:
    lines = agent("--print", "--from", recorded("a100-4-pairs")).output.splitlines()

    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip().startswith("GPU")}
    assert rows["GPU0"] == ["X", "NV12", "SYS", "SYS"]
    assert rows["GPU3"] == ["SYS", "SYS", "NV12", "X"]


def test_a_lost_gpu_is_remarked_and_leaves_the_islands_of_the_others_known(tmp_path: Path) -> None:
    machine = told("a100-4-pairs")
    machine["gpus"][1] = {"error": "GPU_IS_LOST"}
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(machine))

    output = agent("--print", "--from", str(file)).output

    assert "GPU1: NVML answers GPU_IS_LOST" in output
    assert "islands unknown" not in output


def test_unknown_islands_are_remarked(tmp_path: Path) -> None:
    machine = told("h100-8-nvswitch")
    for gpu in machine["gpus"]:
        gpu["fabric"]["state"] = 2  # in progress
    for pair in machine["pairs"]:
        pair["p2p"]["nvlink"] = 5
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(machine))

    assert "islands unknown" in agent("--print", "--from", str(file)).output


@pytest.mark.parametrize(
    ("name", "said"),
    [("none", "no GPU: the driver runs"), ("no-driver", "GPUs unknown: the NVIDIA driver")],
)
def test_none_and_unknown_read_differently(name: str, said: str) -> None:
    result = agent("--print", "--from", recorded(name))

    assert (result.exit_code, said in result.output) == (0, True)


def test_json_is_the_annotation() -> None:
    result = agent("-o", "json", "--from", recorded("gb200-tray"))

    assert result.output == report(told("gb200-tray")).text() + "\n"


def test_a_recording_of_a_recording_is_the_same_but_for_invented_uuids(tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    assert agent("--record", str(copy), "--from", recorded("l40s-8-two-sockets")).exit_code == 0

    made = report(json.loads(copy.read_text()))
    before = report(told("l40s-8-two-sockets"))
    assert made.pairs == before.pairs
    assert [gpu.memory_mib for gpu in made.gpus or ()] == [46_068] * 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "no recorded machine", id="empty"),
        pytest.param('{"recording": 2, "source": "s", "gpus": []}', "recording", id="newer"),
        pytest.param('{"recording": 1, "source": "s", "gpu": []}', "gpu", id="unknown-key"),
    ],
)
def test_a_file_that_is_no_recording_ends_with_a_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "machine.json"
    file.write_text(text)

    result = agent("--print", "--from", str(file))

    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_without_a_node_it_says_how_to_name_one() -> None:
    result = agent("--once", "--from", recorded("t4-1"))

    assert result.exit_code == 2
    assert "--node or NODE_NAME" in result.output
