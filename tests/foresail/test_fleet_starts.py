"""`foresail fleet`: machines that are late, lead times, and the file that keeps starts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleet.snapshot import snapshot_of
from foresail.cli import main
from foresail.gpus.starts import StartBook
from tests.account.test_startups import BEGIN, KNOWN, claimed, cluster, registered

RECORD = Path(__file__).parents[1] / "fixtures" / "clusters" / "late-machines.yaml"
LATE = """\
late: h100-unlaunched (p5.48xlarge, pool h100): no machine is launched for 2m, LaunchFailed; \
usually 1m2s at most; Karpenter ends it in 3m; it costs nothing yet
late: h100-unregistered (p5.48xlarge, pool h100): not registered for 11m55s, NodeNotFound; \
usually 4m10s at most; Karpenter ends it in 3m; $55.04/h, $10.93 so far
late: leaves (p5.48xlarge, pool h100): being deleted for 30m, Drained: Draining; \
late after 15m; Karpenter waits for its pods without a limit; $55.04/h, $27.52 so far
late: no-gpus (p5.48xlarge, pool h100): not initialized for 1h58m30s, ResourceNotRegistered; \
usually 14m42s at most; Karpenter has no limit for this; $55.04/h, $110.02 so far
late: zombie (p5.48xlarge, pool static): no GPUs for pods for 58m20s; \
usually 7m35s at most; Karpenter has no limit for this; $55.04/h, $54.98 so far
""".splitlines()


def fleet(*arguments: object) -> Result:
    environment = {"COLUMNS": "200", "KUBECONFIG": "/nowhere/config"}
    return CliRunner().invoke(main, ["fleet", *map(str, arguments)], env=environment)


def document(*arguments: object) -> Any:
    return json.loads(fleet(*arguments, "-o", "json").output)


def recorded(path: Path, *objects: dict[str, Any]) -> Path:
    """A record of these objects; a node without GPUs makes it one of a cluster."""
    plain = {"kind": "Node", "metadata": {"name": "cpu", "labels": {}}, "status": {}}
    path.write_text(json.dumps({"kind": "List", "items": [*objects, plain]}))
    return path


class TestLateMachines:
    def test_each_is_a_line_with_what_is_usual_what_karpenter_does_and_what_it_costs(self) -> None:
        shown = fleet("--file", RECORD).output.splitlines()

        assert [line for line in shown if line.startswith("late: ")] == LATE

    def test_a_record_is_judged_at_its_newest_time_stamp(self) -> None:
        shown = fleet("--file", RECORD).output

        at = "2026-11-28T10:00:00+00:00"
        assert f"late-machines is judged at {at}, the newest time stamp in its record" in shown
        assert {one["at"] for one in document("--file", RECORD)["lateMachines"]} == {at}

    def test_json_has_every_number_of_them(self) -> None:
        found = {one["machine"]: one for one in document("--file", RECORD)["lateMachines"]}

        unregistered = found["h100-unregistered"]
        assert (unregistered["stage"], unregistered["seconds"]) == ("registered", 715)
        assert unregistered["karpenterEndsItInSeconds"] == 180
        assert unregistered["usdSoFar"] == pytest.approx(55.04 * 715 / 3600)
        assert found["no-gpus"]["karpenterEndsItInSeconds"] is None
        assert found["leaves"]["normalSeconds"] is None

    def test_several_clusters_name_theirs(self, tmp_path: Path) -> None:
        other = recorded(
            tmp_path / "other.json", claimed(Launched=4), registered(gpus=0, ready=900)
        )

        shown = fleet("--file", RECORD, "--file", other).output.splitlines()

        assert any(line.startswith("late: late-machines: no-gpus (") for line in shown)
        assert any(
            line.startswith("late: other: c (p5.48xlarge, pool h100): not") for line in shown
        )

    def test_a_price_that_is_not_known_is_a_question_mark(self, tmp_path: Path) -> None:
        spot = recorded(tmp_path / "spot.json", claimed(Launched=4), registered(gpus=0, ready=900))

        (line,) = (one for one in fleet("--file", spot).output.splitlines() if "late: " in one)

        assert line.endswith("; $?/h")

    def test_a_cluster_without_any_says_nothing(self, tmp_path: Path) -> None:
        done = claimed(on="n1", Launched=4, Registered=85, Initialized=155)
        fine = recorded(tmp_path / "fine.json", done, registered(gpus=8, ready=120))

        assert "late" not in fleet("--file", fine).output


class TestLeadTimes:
    def test_they_are_shown_when_asked_for(self) -> None:
        shown = fleet("--file", RECORD, "--lead-times").output.splitlines()
        rows = {cells[0]: cells[1:] for line in shown if (cells := line.split())}

        assert rows["place"][:3] == ["seen", "launch", "join"]
        assert rows["(published)"][:2] == ["0", "5s"]
        assert rows["h100"][0] == "6"
        # One of them hangs for two hours, and nobody knows how long it will.
        assert rows["h100"][7:9] == ["≥2.0h", "≥2.0h"]
        assert rows["llm/qwen"] == ["1", "0", "6.5m", "15m", "33m"]
        assert "lead times" not in fleet("--file", RECORD).output

    def test_json_has_them_by_place_stage_and_workload(self) -> None:
        (cluster,) = document("--file", RECORD, "--lead-times")["leadTimes"]

        names = [one["place"]["pool"] for one in cluster["places"]]
        assert names == ["h100"] * 3 + ["static"] * 3
        stages = {one["stage"]: one for one in cluster["places"][0]["stages"]}
        assert (stages["launched"]["ended"], stages["launched"]["unended"]) == (5, 1)
        assert cluster["loads"][0]["workload"]["name"] == "qwen"
        assert cluster["loads"][0]["ended"] == 1
        assert "leadTimes" not in document("--file", RECORD)

    def test_they_are_learned_anew_once_a_minute(self) -> None:
        book, starts = StartBook(), []
        for seconds, orders in ((0, "a"), (59, "ab"), (60, "ab")):
            one, now = cluster(*(claimed(name) for name in orders)), BEGIN + seconds
            (found,) = book.read([(one, snapshot_of(one, KNOWN, None, now))], KNOWN, now)
            starts.append(len(found.lead_times.nodes))

        assert starts == [1, 1, 2]


class TestFile:
    def test_what_one_run_saw_the_next_one_knows(self, tmp_path: Path) -> None:
        kept = tmp_path / "starts.json"
        asked = ("--file", tmp_path / "c.json", "--starts-file", kept, "--lead-times")
        recorded(tmp_path / "c.json", claimed("a"), claimed("b"))
        (before,) = document(*asked)["leadTimes"]
        recorded(tmp_path / "c.json", claimed("b", Launched=400))
        (after,) = document(*asked)["leadTimes"]

        # One of the two orders was refused.
        assert [one["places"][0]["starts"] for one in (before, after)] == [2, 2]
        shares = [one["places"][0]["failures"]["share"] for one in (before, after)]
        refused = (1 + 4 * 0.03) / 5
        assert shares == pytest.approx([0.0494, refused + (1 - refused) * 0.02], rel=1e-3)

    def test_the_same_record_twice_changes_no_digit(self, tmp_path: Path) -> None:
        kept = tmp_path / "starts.json"
        asked = ("--file", RECORD, "--starts-file", kept, "--lead-times")
        first = document(*asked)["leadTimes"]

        again = [document(*asked)["leadTimes"] for _ in range(2)]

        assert again == [first, first]

    def test_a_broken_file_is_refused_by_name_and_set_aside(self, tmp_path: Path) -> None:
        kept = tmp_path / "starts.json"
        kept.write_text('{"format": 7}')

        result = fleet("--file", RECORD, "--starts-file", kept)

        assert result.exit_code == 0
        assert f"--starts-file {kept} is not used, and is now starts.json.refused: format: " in (
            result.output.replace("\n", " ")
        )
        assert (tmp_path / "starts.json.refused").read_text() == '{"format": 7}'
        assert json.loads(kept.read_text())["format"] == 1

    def test_it_is_written_once_a_minute(self, tmp_path: Path) -> None:
        kept = tmp_path / "starts.json"
        book, written = StartBook(kept), []
        for seconds in (0, 1, 59, 60, 61, 121):
            one, now = cluster(claimed(Launched=4)), BEGIN + seconds
            book.read([(one, snapshot_of(one, KNOWN, None, now))], KNOWN, now)
            written.append(kept.exists())
            kept.unlink(missing_ok=True)

        assert written == [True, False, False, True, False, True]

    def test_what_another_process_writes_beside_it_is_not_in_the_way(self, tmp_path: Path) -> None:
        kept = tmp_path / "starts.json"
        (tmp_path / "starts.json.tmp").mkdir()
        assert fleet("--file", RECORD, "--starts-file", kept).exit_code == 0
        assert json.loads(kept.read_text())["format"] == 1

    def test_a_named_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        pipe = tmp_path / "starts.json"
        os.mkfifo(pipe)
        result = fleet("--file", RECORD, "--starts-file", pipe)
        assert f"--starts-file {pipe}: it is no regular file" in result.output.replace("\n", " ")

    @pytest.mark.parametrize("name", ["", "missing/starts.json"])
    def test_a_file_that_cannot_be_used_is_an_error(self, tmp_path: Path, name: str) -> None:
        result = fleet("--file", RECORD, "--starts-file", tmp_path / name)

        assert result.exit_code == 1
        assert f"--starts-file {tmp_path / name}: " in result.output
