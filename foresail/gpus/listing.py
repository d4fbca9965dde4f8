"""`foresail gpus`: the catalogue as a table, ranked for a need."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from fleet.catalogue import NOMINAL_USED_RATIO, Bottleneck, Catalogue, Need, Ranked
from foresail.printed import FORMS, print_document

_UNKNOWN = "?"
_UNITS = {
    Bottleneck.DECODE: "$ per TB/s-h",
    Bottleneck.PREFILL: "$ per PFLOP/s-h",
    Bottleneck.KV: "$ per 100 GiB-h",
}


def show(ranked: Sequence[Ranked], need: Need, catalogue: Catalogue, *, form: str) -> None:
    """Print the ranking."""
    if form in FORMS:
        print_document([_told(one) for one in ranked], form)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=0, caption_justify="left")
    table.caption = (
        f"GiB as the driver reports it, else {NOMINAL_USED_RATIO:.0%} of the size as sold\n"
        "fabric: GB/s of NVLink or Infinity Fabric\n"
        f"CC: CUDA compute capability; dense TFLOPS; list prices as of {catalogue.as_of}\n"
        "- is not there; ? is unknown: give your price with --prices"
    )
    table.add_column("GPU", no_wrap=True)
    last = _UNITS[need.bottleneck]
    if any(one.excluded for one in ranked):
        last += ", or why not"
    for head in ("GiB", "GB/s", "TFLOPS", "fabric", "CC", "$/h", last):
        table.add_column(head, justify="right", no_wrap=True)
    for one in ranked:
        gpu = one.generation
        best, usd = gpu.tflops_at(need.precision), gpu.usd_per_hour_of(need.gpus)
        unit = _UNKNOWN if one.usd_per_unit is None else f"{one.usd_per_unit:.2f}"
        table.add_row(
            gpu.name,
            f"{gpu.memory_gib:.0f}",
            f"{gpu.bandwidth_gb_s:,.0f}",
            f"{best:,.0f}" if best else "-",
            f"{gpu.fabric_gb_s:,.0f}" if gpu.fabric_gb_s else "none",
            gpu.compute_capability or "-",
            _UNKNOWN if usd is None else f"{usd:.2f}",
            one.excluded or unit,
            style="dim" if one.excluded else None,
        )
    Console().print(table)


def _told(one: Ranked) -> dict[str, object]:
    return {
        **one.generation.model_dump(mode="json", by_alias=True),
        "usdPerUnit": one.usd_per_unit,
        "excluded": one.excluded,
    }
