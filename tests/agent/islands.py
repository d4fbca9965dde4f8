"""Reports of the node agent in which only the islands are said."""

from fleet.cluster.report import GpuReport, HealthReport, Report

_UNKNOWN = HealthReport(
    healthy=None,
    problems=(),
    ecc=None,
    ecc_uncorrected_volatile=None,
    ecc_uncorrected_aggregate=None,
    remapped_rows=None,
    retired_pages=None,
)


def reported(*islands: int | None, node: str = "") -> str:
    """As it stands in the annotation.

    Args:
        islands: of each GPU in the order of their index; None = it does not answer.
        node: which the UUIDs of its GPUs name.
    """
    gpus = tuple(
        GpuReport(index=index, lost="GPU_IS_LOST", health=_UNKNOWN)
        if island is None
        else GpuReport(index=index, uuid=f"GPU-{node}-{index}", island=island, health=_UNKNOWN)
        for index, island in enumerate(islands)
    )
    return Report(schema=1, boot_id=None, gpus=gpus).text()
