"""The agent's report of a node: one annotation, in JSON, with the version of its schema.

Unknown is `null` everywhere, never 0, false or an empty list. Within a version fields are only
added, so a reader ignores those that it does not know. A reader refuses a newer version and treats
the node as unknown. docs/agent.md lists every field.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from fleet.invalid import invalid, shown

SCHEMA: Final = 1
SHARE_MAX: Final = 10.0
SLOW_BELOW: Final = 0.6
"""Of the bus bandwidth that a node's links allow: below, something is wrong with the node and not
with the run."""


class Way(StrEnum):
    """How NVLink connects two GPUs."""

    DIRECT = "direct"
    SWITCH = "switch"
    HIDDEN = "hidden"
    """The driver uses NVLink between them but does not show the links."""
    NONE = "none"


class UnreadableReportError(ValueError):
    """An annotation that is not a report, or has a newer schema."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )


class NvLinks(_Part):
    """A GPU's own links, wherever they end."""

    up: int | None
    total: int | None
    megabytes_per_second_each: int | None
    """In one direction."""


class FabricReport(_Part):
    """Membership in an NVSwitch fabric."""

    state: Literal["not-started", "in-progress", "completed"]
    cluster_uuid: str | None
    """None on a fabric within one machine."""
    clique_id: int | None


class MigDevice(_Part):
    """One MIG device."""

    uuid: str | None
    profile: str | None
    memory_mib: int | None


class MigReport(_Part):
    """Whether the GPU is partitioned."""

    enabled: bool
    pending: bool
    """The mode after the next reset."""
    devices: tuple[MigDevice, ...] | None


class HealthReport(_Part):
    """The GPU's health, as far as the driver records it."""

    healthy: bool | None
    problems: tuple[str, ...]
    ecc: bool | None
    ecc_uncorrected_volatile: int | None
    ecc_uncorrected_aggregate: int | None
    remapped_rows: int | None
    retired_pages: int | None


class GpuReport(_Part):
    """One GPU."""

    index: int
    uuid: str | None = None
    minor: int | None = None
    pci_bus_id: str | None = None
    product: str | None = None
    architecture: str | None = None
    compute_capability: str | None = None
    memory_mib: int | None = None
    numa_node: int | None = None
    """The host's NUMA node nearest to it."""
    own_numa_node: int | None = None
    """The NUMA node of its own memory, on machines such as GB200."""
    island: int | None = None
    nv_links: NvLinks | None = None
    fabric: FabricReport | None = None
    mig: MigReport | None = None
    health: HealthReport
    lost: str | None = None
    """Why NVML cannot read it."""


class PairReport(_Part):
    """The connection of two GPUs."""

    of: tuple[int, int]
    pcie: str | None
    nvlink: Way | None
    links: int | None
    peer: bool | None
    """Whether each may read the other's memory."""


class NcclReport(_Part):
    """The bus bandwidth that NCCL realised on the node, and what its links allow."""

    bus_gb_s: float = Field(ge=0, alias="busGbS")
    expected_gb_s: float | None = Field(None, alias="expectedGbS")
    """None = not known, such as without NVLink between all GPUs."""
    share: float | None = None
    """Of the expected."""
    ranks: int
    collective: str | None = None
    problem: str | None = None
    """Why the share is lower than that of a node in order; None = it is in order, or not known."""


class Report(_Part):
    """One node."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    boot_id: str | None
    """Of the boot in which this was found, as the node's `status.nodeInfo.bootID`."""
    driver: str | None = None
    cuda: str | None = None
    gpus: tuple[GpuReport, ...] | None
    """None = not known; empty = the driver runs and finds none."""
    unknown: str | None = None
    """Why `gpus` is None."""
    pairs: tuple[PairReport, ...] = ()
    clique: str | None = None
    """Cluster UUID and clique, joined by a dot, as the label `nvidia.com/gpu.clique` has them."""
    nccl: NcclReport | None = None
    """None = no run of NCCL tells."""

    def text(self) -> str:
        """The text of the annotation."""
        return self.model_dump_json(by_alias=True)

    @property
    def islands(self) -> tuple[int, ...]:
        """The island of each GPU, by index; empty = not known of all that answer.

        One that does not answer is joined to none: it has an island of its own.
        """
        gpus = self.gpus or ()
        fresh = count(len(gpus))
        found = [next(fresh) if gpu.lost is not None else gpu.island for gpu in gpus]
        known = tuple(island for island in found if island is not None)
        return known if len(known) == len(found) else ()


class _Version(BaseModel):
    schema_version: int = Field(alias="schema")


def report_from(text: str) -> Report:
    """The report in an annotation.

    Raises:
        UnreadableReportError: it is not a report, or its schema is newer than this program.
    """
    try:
        version = _Version.model_validate_json(text).schema_version
        if version > SCHEMA:
            raise UnreadableReportError(
                f"schema {version} is newer than {SCHEMA}, the newest that this Foresail reads:"
                " upgrade it before the agents"
            )
        return Report.model_validate_json(text)
    except ValidationError as error:
        at, why = next(invalid(error))
        raise UnreadableReportError(f"{shown(at, whole='the text')}: {why}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What readers need of a report, a tenth of its size."""

    uuids: tuple[str | None, ...]
    """None = it does not answer."""
    islands: tuple[int, ...]
    """Of each GPU, in the order of the UUIDs, of one that does not answer an island of its own;
    empty = not known."""
    product: str | None
    """None = GPUs that answer differ, or do not say."""
    clique: str | None
    bus_share: float | None = None
    """Of the bus bandwidth that its links allow, what NCCL realised; None = not known."""


def agent_report(text: str, boot_id: str | None) -> AgentReport | None:
    """The report in the annotation of a node; None = the agent does not know the GPUs.

    Args:
        text: of the annotation.
        boot_id: of the node's present boot; None = not told.

    Raises:
        UnreadableReportError: it is none, of a newer schema, or of an earlier boot.
    """
    report = report_from(text)
    if boot_id and report.boot_id and boot_id != report.boot_id:
        raise UnreadableReportError(f"of an earlier boot, {report.boot_id}; now it is {boot_id}")
    if report.gpus is None:
        return None
    products = {gpu.product for gpu in report.gpus if gpu.lost is None}
    return AgentReport(
        uuids=tuple(gpu.uuid for gpu in report.gpus),
        islands=report.islands,
        product=products.pop() if len(products) == 1 else None,
        clique=report.clique,
        bus_share=_share(report.nccl),
    )


def _share(nccl: NcclReport | None) -> float | None:
    """A node's own kubelet may write anything: what is no share is not known."""
    share = None if nccl is None else nccl.share
    return share if share is not None and 0 < share < SHARE_MAX else None
