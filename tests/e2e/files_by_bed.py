"""Which worker of `make e2e` runs which file, so that few beds are started beside each other."""

from collections.abc import Container, Sequence
from pathlib import PurePath

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]


class LoadFilesByBed(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Hands files out whole; those of a folder are about one bed."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        taken = [folder_of(file) for file in self.assigned_work.get(node, ())]
        begun = {folder_of(file) for files in self.assigned_work.values() for file in files}
        chosen = next_file([*self.workqueue], taken[-1] if taken else None, begun)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


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
