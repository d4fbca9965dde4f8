"""Which worker of `make e2e` runs which file, so that few beds are started beside each other."""

from collections.abc import Container, Mapping, Sequence
from pathlib import PurePath

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

_SECONDS = {
    "chart/test_life.py": 200,
    "console/test_demo.py": 120,
    "nodes/test_controller_acts.py": 65,
    "nodes/test_controller_keeps.py": 150,
    "nodes/test_controller_killed.py": 95,
    "nodes/test_costs.py": 90,
    "nodes/test_gaps.py": 75,
    "nodes/test_withdrawn.py": 110,
    "test_bed.py": 120,
    "test_claims.py": 60,
    "test_clock.py": 130,
    "test_counts.py": 100,
    "test_day.py": 110,
    "test_external_metrics.py": 90,
    "test_faults.py": 200,
    "test_five_minutes.py": 90,
    "test_high_availability.py": 300,
    "test_install_by_hand.py": 90,
    "test_lint.py": 30,
    "test_manifests.py": 30,
    "test_model.py": 360,
    "test_modes.py": 120,
}
"""About how long a file takes whose tests are longer or shorter than others (`make e2e
ARGS=--durations=0`). It changes when a file begins, and nothing else."""
_SECONDS_A_TEST = 3


class LoadFilesByBed(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Hands files out whole; those of a folder are about one bed."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        taken = [folder_of(file) for file in self.assigned_work.get(node, ())]
        begun = {folder_of(file) for files in self.assigned_work.values() for file in files}
        waiting = longest_first({file: len(tests) for file, tests in self.workqueue.items()})
        chosen = next_file(waiting, taken[-1] if taken else None, begun)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def longest_first(waiting: Mapping[str, int]) -> list[str]:
    """Files that wait, with their number of tests: what takes long shall not begin last."""
    return sorted(
        waiting,
        key=lambda file: _SECONDS.get(
            file.removeprefix("tests/e2e/"), _SECONDS_A_TEST * waiting[file]
        ),
        reverse=True,
    )


def next_file(waiting: Sequence[str], own: str | None, begun: Container[str]) -> str:
    """Of the files that wait, the one for a worker that has time.

    Args:
        waiting: at least one, by path; the first one is the most urgent.
        own: the folder of the worker's last file; None = it had none.
        begun: folders of which any worker has had a file.
    """
    of_own_bed = [file for file in waiting if folder_of(file) == own]
    of_no_bed_yet = [file for file in waiting if folder_of(file) not in begun]
    return [*of_own_bed, *of_no_bed_yet, *waiting][0]


def folder_of(file: str) -> str:
    return str(PurePath(file).parent)
