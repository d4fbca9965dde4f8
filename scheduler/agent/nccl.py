"""The bus bandwidth that NCCL realised on this node, beside what the node's links allow.

Two texts are read: what nccl-tests prints, and the Prometheus text of NCCL's inspector plugin. Only
runs on one node count, with messages that fill the links; the best one counts, because a run may be
slow for reasons of its own, and none is faster than the hardware. Line rate less about a fifth for
the protocol is what NCCL gets of NVLink (NVIDIA/nccl-tests#212).
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fleet.cluster.report import SLOW_BELOW, NcclReport, Report, Way

MESSAGE_BYTES_MIN: Final = 64 * 2**20
"""Below, latency decides and not the links."""
EXPECTED_PART: Final = 0.8
_LINE_MAX: Final = 1000
"""Characters; no line of either text is longer."""
GB_S_MAX: Final = 1e5
RANKS_MAX: Final = 1024
_STEP_GB_S: Final = 10.0
"""To which it is rounded: the node is written when something changed, not at each run."""
_RANK: Final = re.compile(r"#?\s*Rank\s+(\d+)\b.*?\bon\s+(\S+)\s+device\b")
_STARTED: Final = re.compile(r"# Collective test starting: (\w+?)_perf\b")
_ROW: Final = re.compile(
    r"\s*(?P<bytes>\d+)\s+\d+\s+[a-z]\w*(?:\s+\w+)?(?:\s+-?\d+)?"
    r"\s+[\d.]+\s+[\d.]+\s+(?P<out>[\d.]+)\s+\S+\s+[\d.]+\s+[\d.]+\s+(?P<into>[\d.]+)\s+\S+\s*"
)
"""Size, count, type, redop, root; then time, algbw, busbw and errors, out of place and in place."""
_SAMPLE: Final = re.compile(r"nccl_bus_bandwidth_gbs\{(?P<labels>[^}]*)\}\s+(?P<value>[^\s]+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True, slots=True, kw_only=True)
class BusBandwidth:
    """What one collective realised on one node."""

    gb_s: float
    ranks: int
    collective: str | None


def best_of(texts: Iterable[str]) -> BusBandwidth | None:
    """The best that any run got; None = no run tells."""
    runs = (run for text in texts for run in (*_of_tests(text), *_of_inspector(text)))
    return max(runs, key=lambda one: one.gb_s, default=None)


def with_bandwidth(report: Report, best: BusBandwidth | None) -> Report:
    """The report, with what NCCL realised beside what the links of its GPUs allow."""
    if best is None or report.gpus is None:
        return report
    expected = _expected_gb_s(report, best.ranks)
    rounded = _STEP_GB_S * round(best.gb_s / _STEP_GB_S)
    share = None if expected is None else round(rounded / expected, 2)
    return report.model_copy(
        update={
            "nccl": NcclReport(
                bus_gb_s=rounded,
                expected_gb_s=None if expected is None else round(expected, 1),
                share=share,
                ranks=best.ranks,
                collective=best.collective,
                problem=None if share is None or share >= SLOW_BELOW else _problem(report, share),
            )
        }
    )


def _expected_gb_s(report: Report, ranks: int) -> float | None:
    """By the links that every GPU has, whether they are up; None = not known, or not all NVLink.

    A run over several islands crosses PCIe, and of which GPUs a smaller run was is not told. Such a
    run has all links of its GPUs only where they end at switches: direct ones lead to others, too.
    """
    gpus = report.gpus or ()
    if len(set(report.islands)) != 1 or not 1 < ranks <= len(gpus):
        return None
    if ranks < len(gpus) and any(pair.nvlink is not Way.SWITCH for pair in report.pairs):
        return None
    rates = {
        one.nv_links.total * one.nv_links.megabytes_per_second_each
        if one.nv_links and one.nv_links.total and one.nv_links.megabytes_per_second_each
        else None
        for one in gpus
    }
    rate = rates.pop()
    return None if rates or rate is None else rate / 1000 * EXPECTED_PART


def _problem(report: Report, share: float) -> str:
    down = [
        f"GPU{one.index} has {one.nv_links.up} of {one.nv_links.total} NVLinks up"
        for one in report.gpus or ()
        if one.nv_links and None not in (one.nv_links.up, one.nv_links.total)
        if one.nv_links.up != one.nv_links.total
    ]
    why = "; ".join(down) or (
        "the driver says that all NVLinks are up: look at the fabric manager, and whether NCCL "
        "used NVLink (NCCL_DEBUG=INFO)"
    )
    return f"NCCL realised {share:.0%} of the bus bandwidth that the links allow: {why}"


def _of_tests(text: str) -> Iterator[BusBandwidth]:
    ranks: set[str] = set()
    hosts: set[str] = set()
    collective: str | None = None
    for line in text.splitlines():
        if len(line) > _LINE_MAX:
            continue
        started, rank = _STARTED.search(line), _RANK.match(line)
        if started:
            ranks, hosts, collective = set(), set(), started[1]
        elif rank:
            ranks.add(rank[1])
            hosts.add(rank[2])
        elif (row := _ROW.fullmatch(line)) and len(hosts) == 1:
            for name in ("out", "into"):
                yield from _run(int(row["bytes"]), row[name], len(ranks), collective)


def _of_inspector(text: str) -> Iterator[BusBandwidth]:
    for line in text.splitlines():
        sample = _SAMPLE.match(line) if len(line) <= _LINE_MAX else None
        if sample is None:
            continue
        labels = dict(_LABEL.findall(sample["labels"]))
        size = _SIZE.fullmatch(labels.get("message_size", ""))
        ranks = labels.get("nranks", "")
        if (
            labels.get("n_nodes") != "1"
            or size is None
            or not ranks.isascii()
            or not ranks.isdigit()
        ):
            continue
        message = float(size[1]) * _UNITS[size[2].upper()]
        yield from _run(message, sample["value"], int(ranks[:9]), labels.get("collective"))


def _run(
    message_bytes: float, value: str, ranks: int, collective: str | None
) -> Iterator[BusBandwidth]:
    try:
        gb_s = float(value)
    except ValueError:
        return
    believed = math.isfinite(gb_s) and 0 < gb_s <= GB_S_MAX and 1 < ranks <= RANKS_MAX
    if believed and message_bytes >= MESSAGE_BYTES_MIN:
        yield BusBandwidth(gb_s=gb_s, ranks=ranks, collective=(collective or None))
