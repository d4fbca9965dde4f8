"""The starts of clusters as bytes, so that what was learned outlives the process.

What is kept are the starts themselves, each with its UID: whoever reads the clusters again counts
none twice. Losing them costs accuracy for a while and nothing else, so a doubtful file is refused
as a whole.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fleet.account.starts import NodeStart, PodStart, Starts
from fleet.account.startups import NODES_MAX, PODS_MAX, StartUps

BYTES_MAX: Final = 32 * 2**20
"""A start is 0.5 KiB; all that are remembered of a cluster are 3 MiB at the most."""


class StartsRefusedError(ValueError):
    """Bytes that are not the starts of clusters; the message says why."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: Literal[1]
    clusters: Mapping[str, StartUps]


def encode_starts(clusters: Mapping[str, StartUps]) -> bytes:
    """The starts by cluster, without those of pods that take no GPUs: nothing is learned from them.

    Of more than `BYTES_MAX` the older halves are dropped until it fits.
    """
    kept = {name: replace(one, pods=_with_gpus(one.pods)) for name, one in clusters.items()}
    while True:
        payload = _File(format=1, clusters=kept).model_dump_json().encode()
        ended = any(one.nodes.ended or one.pods.ended for one in kept.values())
        if len(payload) <= BYTES_MAX or not ended:
            return payload
        kept = {
            name: StartUps(pods=_newer_half(one.pods), nodes=_newer_half(one.nodes))
            for name, one in kept.items()
        }


def decode_starts(payload: bytes) -> Mapping[str, StartUps]:
    """The starts by cluster.

    Raises:
        StartsRefusedError: too large, damaged, or of another format.
    """
    if len(payload) > BYTES_MAX:
        raise StartsRefusedError(f"over {BYTES_MAX} bytes")
    try:
        clusters = _File.model_validate_json(payload).clusters
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:160]
        raise StartsRefusedError(f"{where}: {first['msg']}" if where else first["msg"]) from error
    return {
        name: StartUps(
            pods=replace(one.pods, most=PODS_MAX), nodes=replace(one.nodes, most=NODES_MAX)
        )
        for name, one in clusters.items()
    }


S = TypeVar("S", NodeStart, PodStart)


def _with_gpus(pods: Starts[PodStart]) -> Starts[PodStart]:
    return replace(
        pods,
        starting={uid: one for uid, one in pods.starting.items() if one.takes_gpus},
        ended=tuple(one for one in pods.ended if one.takes_gpus),
    )


def _newer_half(starts: Starts[S]) -> Starts[S]:
    return replace(starts, ended=starts.ended[(len(starts.ended) + 1) // 2 :])
