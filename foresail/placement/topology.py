"""A node's report for people: its GPUs, what joins them, and what is wrong with them."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from fleet.cluster.report import GpuReport, NcclReport, PairReport, Report, Way

_PCIE = {
    "internal": "BRD",
    "single": "PIX",
    "multiple": "PXB",
    "hostbridge": "PHB",
    "node": "NODE",
    "system": "SYS",
}
_LEGEND = (
    "NVn n direct NVLinks, NSn n links to an NVSwitch, NV? NVLink of unknown width; without it the"
    " way over PCIe: BRD same board, PIX one switch, PXB several, PHB host bridge, NODE same NUMA"
    " node, SYS across sockets; ? unknown"
)


def show(report: Report, console: Console) -> None:
    """Print a report."""
    if report.gpus is None:
        console.print(f"GPUs unknown: {report.unknown}")
        return
    if not report.gpus:
        console.print("no GPU: the driver runs and finds none")
        return
    driver, cuda = report.driver or "unknown", report.cuda or "unknown"
    number = f"{len(report.gpus)} GPUs" if len(report.gpus) > 1 else "1 GPU"
    console.print(f"{number}; driver {driver}, CUDA {cuda}")
    if report.clique:
        console.print(f"clique {report.clique}")
    console.print(_gpus(report.gpus))
    if len(report.gpus) > 1:
        console.print(_matrix(report))
        console.print(_LEGEND, style="dim")
    for line in _remarks(report):
        console.print(line)


def _gpus(gpus: tuple[GpuReport, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for head in ("GPU", "product", "MiB", "CC", "NUMA", "NVLinks", "MIG", "island", "health"):
        # In a narrow terminal the product's name takes more lines, so that no figure is cut.
        name = head == "product"
        table.add_column(head, justify="left" if name else "right", no_wrap=not name)
    for one in gpus:
        table.add_row(
            str(one.index),
            _shown(one.product),
            _shown(one.memory_mib),
            _shown(one.compute_capability),
            _shown(one.numa_node),
            _shown(one.nv_links and one.nv_links.up),
            _mig(one),
            _shown(one.island),
            {True: "ok", False: "bad", None: "?"}[one.health.healthy],
        )
    return table


def _matrix(report: Report) -> Table:
    cells = {one.of: _cell(one) for one in report.pairs}
    indices = range(len(report.gpus or ()))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in indices:
        table.add_column(f"GPU{column}", justify="right")
    for row in indices:
        row_cells = (
            "X" if row == column else cells.get((min(row, column), max(row, column)), "?")
            for column in indices
        )
        table.add_row(f"GPU{row}", *row_cells)
    return table


def _cell(pair: PairReport) -> str:
    match pair.nvlink:
        case Way.DIRECT:
            return f"NV{_shown(pair.links)}"
        case Way.SWITCH:
            return f"NS{_shown(pair.links)}"
        case Way.HIDDEN:
            return "NV?"
        case Way.NONE:
            return _PCIE.get(pair.pcie or "", "?")
        case None:
            return "?"


def _mig(gpu: GpuReport) -> str:
    if gpu.mig is None:
        return "?"
    if not gpu.mig.enabled:
        return "off"
    return "on" if gpu.mig.devices is None else f"{len(gpu.mig.devices)} devices"


def _remarks(report: Report) -> Iterator[str]:
    for one in report.gpus or ():
        yield from (f"GPU{one.index}: {problem}" for problem in one.health.problems)
    if report.nccl is not None:
        yield report.nccl.problem or _bandwidth(report.nccl)
    if not report.islands:
        yield "islands unknown: of some pair it is not known whether NVLink joins it"


def _bandwidth(nccl: NcclReport) -> str:
    part = "?" if nccl.share is None else f"{nccl.share:.0%}"
    return f"NCCL realised {nccl.bus_gb_s:g} GB/s of bus bandwidth, {part} of what the links allow"


def _shown(value: object) -> str:
    return "?" if value is None else str(value)
