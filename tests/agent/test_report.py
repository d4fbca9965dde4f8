"""The report: what stands in the annotation, what is unknown, and what a reader refuses."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fleet.annotations import REPORT
from fleet.cluster.nodes import node_of
from fleet.cluster.report import UnreadableReportError, report_from
from scheduler.machines import Machine, machine_of
from tests.agent.machines import NAMES, REFUSED, answers, report, told

Json = Any


def reported(name: str) -> Json:
    return json.loads(report(told(name)).text())


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_read_as_it_was_written(name: str) -> None:
    made = report(told(name))

    assert report_from(made.text()) == made


def test_an_h100_in_the_words_of_the_catalogue_and_the_dra_driver() -> None:
    gpu = reported("h100-8-nvswitch")["gpus"][5]

    assert (gpu["product"], gpu["architecture"]) == ("NVIDIA H100 80GB HBM3", "Hopper")
    assert (gpu["computeCapability"], gpu["memoryMib"]) == ("9.0", 81_559)
    assert (gpu["index"], gpu["minor"], gpu["numaNode"], gpu["ownNumaNode"]) == (5, 5, 1, None)
    assert gpu["nvLinks"] == {"up": 18, "total": 18, "megabytesPerSecondEach": 26_562}
    assert gpu["mig"] == {"enabled": False, "pending": False, "devices": []}


def test_the_clique_is_that_of_the_rack_and_the_memory_has_a_numa_node_of_its_own() -> None:
    made = reported("gb200-tray")

    assert made["clique"] == "00000090-0000-0000-0000-000000000000.32766"
    assert [gpu["numaNode"] for gpu in made["gpus"]] == [0, 0, 1, 1]
    assert [gpu["ownNumaNode"] for gpu in made["gpus"]] == [2, 10, 18, 26]


def test_a_fabric_within_one_machine_is_no_clique() -> None:
    made = reported("h100-8-nvswitch")

    assert made["clique"] is None
    assert made["gpus"][0]["fabric"] == {
        "state": "completed",
        "clusterUuid": None,
        "cliqueId": None,
    }


def test_gpus_that_disagree_about_their_clique_are_in_none() -> None:
    machine = told("gb200-tray")
    machine["gpus"][3]["fabric"]["cliqueId"] = 7

    assert report(machine).clique is None


@pytest.mark.parametrize(
    ("key", "value"), [("state", 2), ("status", 1)], ids=["in-progress", "with-an-error"]
)
def test_a_node_is_in_no_clique_before_all_its_gpus_are(key: str, value: int) -> None:
    machine = told("gb200-tray")
    machine["gpus"][3]["fabric"][key] = value

    assert report(machine).clique is None


def test_a_gpu_that_does_not_answer_leaves_the_others_in_their_clique() -> None:
    machine = told("gb200-tray")
    machine["gpus"][3] = {"error": "GPU_IS_LOST"}

    assert report(machine).clique == "00000090-0000-0000-0000-000000000000.32766"


def test_mig_devices_have_their_profile_and_memory() -> None:
    mig = reported("a100-2-mig")["gpus"][0]["mig"]

    assert mig["enabled"] is True
    assert [(one["profile"], one["memoryMib"]) for one in mig["devices"]] == [
        ("3g.20gb", 20_096),
        ("2g.10gb", 9_984),
        ("1g.5gb", 4_864),
    ]


def test_a_real_h100_in_a_virtual_machine_hides_its_links_and_is_healthy_with_a_remapped_row() -> (
    None
):
    (gpu,) = reported("h100-1-passthrough")["gpus"]

    assert (gpu["product"], gpu["memoryMib"]) == ("NVIDIA H100 80GB HBM3", 81_559)
    assert (gpu["nvLinks"], gpu["fabric"]) == (None, None)  # 18 on its board: unknown, and not 0
    assert (gpu["health"]["healthy"], gpu["health"]["remappedRows"]) == (True, 1)


class TestUnknown:
    def test_no_gpu_is_an_answer_and_no_driver_is_none(self) -> None:
        assert (reported("none")["gpus"], reported("none")["unknown"]) == ([], None)
        assert reported("no-driver")["gpus"] is None
        assert "libnvidia-ml.so.1" in reported("no-driver")["unknown"]

    def test_that_nvml_finds_no_gpu_is_an_answer_too(self) -> None:
        machine = {**told("no-driver"), "gpus": {"error": "GPU_NOT_FOUND"}}

        assert report(machine).gpus == ()

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            pytest.param(name, path, id=f"{name}-{'.'.join(map(str, path))}")
            for name in ("h100-8-nvswitch", "a100-2-mig", "gb200-tray", "t4-1")
            for path in answers(told(name)["gpus"][0])
            if path[:1] != ("links",) or len(path) == 1 or path[1] == 4
        ],
    )
    def test_a_refused_answer_is_null_and_nothing_else_changes(
        self, name: str, path: tuple[str | int, ...]
    ) -> None:
        machine = told(name)
        before = dict(leaves(json.loads(report(machine).text())))
        holder = machine["gpus"][0]
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = REFUSED

        after = dict(leaves(json.loads(report(machine).text())))

        changed = {at: value for at, value in after.items() if before.get(at, ...) != value}
        assert set(changed.values()) <= {None, "hidden"}  # peer access then still shows NVLink

    def test_memory_near_to_several_numa_nodes_is_near_to_none(self) -> None:
        machine = told("t4-1")
        machine["gpus"][0]["memoryAffinity"] = [0, 1]

        (gpu,) = report(machine).gpus or ()
        assert gpu.numa_node is None


class TestHealth:
    @pytest.mark.parametrize(
        ("part", "value", "said"),
        [
            pytest.param("remappedRows", [0, 1, 1, 0], "reset the GPU", id="remap-pending"),
            pytest.param("remappedRows", [0, 9, 0, 1], "replace the GPU", id="remap-failed"),
            pytest.param("retiredPagesPending", 1, "reboot the node", id="page-retirement"),
            pytest.param("recoveryAction", 4, "drain, then reset the GPU", id="recovery"),
            pytest.param("recoveryAction", 99, "action 99", id="a-newer-driver"),
        ],
    )
    def test_a_fault_says_what_mends_it(self, part: str, value: object, said: str) -> None:
        machine = told("h100-8-nvswitch")
        machine["gpus"][1]["health"][part] = value

        gpus = report(machine).gpus or ()

        assert [gpu.health.healthy for gpu in gpus[:3]] == [True, False, True]
        assert said in gpus[1].health.problems[0]

    @pytest.mark.parametrize(
        ("part", "value", "said"),
        [
            pytest.param("healthSummary", 2, "unhealthy", id="summary"),
            pytest.param("healthSummary", 3, "limited capacity", id="capacity"),
            pytest.param("healthMask", 0b01, "bandwidth is degraded", id="bandwidth"),
        ],
    )
    def test_a_fabric_at_half_strength_is_a_health_problem(
        self, part: str, value: int, said: str
    ) -> None:
        machine = told("gb200-tray")
        machine["gpus"][0]["fabric"][part] = value

        (gpu, *_) = report(machine).gpus or ()
        assert said in " ".join(gpu.health.problems)

    def test_a_gpu_of_which_nothing_is_known_is_not_called_healthy(self) -> None:
        machine = told("t4-1")
        machine["gpus"][0]["health"] = dict.fromkeys(machine["gpus"][0]["health"], REFUSED)

        (gpu,) = report(machine).gpus or ()
        assert gpu.health.healthy is None

    def test_a_lost_gpu_is_ill_and_otherwise_unknown(self) -> None:
        machine = told("t4-1")
        machine["gpus"][0] = {"error": "GPU_IS_LOST"}

        (gpu,) = report(machine).gpus or ()
        assert (gpu.health.healthy, gpu.lost) == (False, "NVML answers GPU_IS_LOST")
        assert (gpu.product, gpu.memory_mib, gpu.island) == (None, None, None)


class TestReader:
    def test_a_newer_schema_is_refused(self) -> None:
        text = json.dumps({**reported("t4-1"), "schema": 2})

        with pytest.raises(UnreadableReportError, match=r"schema 2 is newer than 1.*upgrade it"):
            report_from(text)

    def test_a_field_that_is_new_within_the_schema_is_passed_over(self) -> None:
        told_more = reported("t4-1")
        told_more["gpus"][0]["fanSpeed"] = 30

        assert report_from(json.dumps(told_more)) == report(told("t4-1"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            pytest.param("0,0,1,1", "Invalid JSON", id="no-json"),
            pytest.param("[]", "the text", id="no-object"),
            pytest.param("{}", "schema", id="no-schema"),
            pytest.param('{"schema": "one"}', "schema", id="no-number"),
            pytest.param('{"schema": 0}', "schema", id="zero"),
            pytest.param('{"schema": 1, "bootId": null, "gpus": 8}', "gpus", id="no-list"),
            pytest.param("[" * 100_000, "recursion limit", id="deep"),
            pytest.param("\ud800", "unicode", id="half-a-character"),
            pytest.param('{"schema": 1e400}', "finite", id="no-finite-number"),
        ],
    )
    def test_what_is_no_report_is_refused_with_its_fault(self, text: str, said: str) -> None:
        with pytest.raises(UnreadableReportError, match=said):
            report_from(text)


class TestMachine:
    """What the extender makes of it."""

    def machine(self, annotation: str, *, gpus: int, boot: str = "b1", **labels: str) -> Machine:
        document = {
            "metadata": {"name": "n", "labels": labels, "annotations": {REPORT: annotation}},
            "status": {
                "allocatable": {"nvidia.com/gpu": str(gpus)},
                "nodeInfo": {"bootID": boot},
            },
        }
        return machine_of(node_of(document))

    def test_islands_clique_and_product_come_from_the_report(self) -> None:
        made = self.machine(report(told("gb200-tray")).text(), gpus=4)

        assert (made.islands, made.report_refused) == ((0, 0, 0, 0), None)
        assert made.clique == "00000090-0000-0000-0000-000000000000.32766"
        assert made.model == "gb200"

    def test_a_gpu_that_does_not_answer_hides_nothing_of_the_others(self) -> None:
        tray = told("gb200-tray")
        tray["gpus"][2] = {"error": "GPU_IS_LOST"}
        tray["pairs"] = [one for one in tray["pairs"] if 2 not in one["of"]]
        made = self.machine(report(tray).text(), gpus=4)

        assert (made.model, made.islands, made.largest_island) == ("gb200", (0, 0, 4, 0), 3)
        withdrawn = self.machine(report(tray).text(), gpus=3)
        assert (withdrawn.islands, withdrawn.largest_island) == ((0, 0, 0), 3)

    def test_a_label_of_gpu_feature_discovery_comes_first(self) -> None:
        labels = {"nvidia.com/gpu.product": "NVIDIA-L40S-SHARED", "nvidia.com/gpu.clique": "u.1"}
        made = self.machine(report(told("gb200-tray")).text(), gpus=4, **labels)

        assert (made.model, made.clique) == ("l40s", "u.1")

    def test_a_newer_schema_is_unknown_and_the_machine_says_why(self) -> None:
        text = json.dumps({**reported("a100-4-pairs"), "schema": 2})
        made = self.machine(text, gpus=4)

        assert made.islands == ()
        assert made.report_refused is not None
        assert "foresail.io/gpu-report: schema 2 is newer" in made.report_refused

    def test_a_report_of_an_earlier_boot_is_unknown(self) -> None:
        text = json.dumps({**reported("a100-4-pairs"), "bootId": "b0"})

        assert self.machine(text, gpus=4, boot="b0").islands == (0, 0, 1, 1)
        made = self.machine(text, gpus=4, boot="b1")
        assert made.islands == ()
        assert "earlier boot, b0" in str(made.report_refused)

    @pytest.mark.parametrize("gpus", [0, 2, 8])
    def test_a_report_about_other_gpus_says_nothing(self, gpus: int) -> None:
        assert self.machine(report(told("a100-4-pairs")).text(), gpus=gpus).islands == ()


def leaves(value: Json, at: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{at}.{key}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{at}[{index}]")
    else:
        yield at, value
