"""Settings of pools of GPUs whose size is known."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from foresail.settings.values import COUNT_MAX, Text
from scaler.faults import crossed
from scaler.parts import Part, sound_items


class GpuPoolSettings(Part):
    """A pool of GPUs that workloads share; a trigger names it with `pool`."""

    name: Text
    """The pool's name in triggers."""
    gpus: int = Field(
        ge=1, le=COUNT_MAX, strict=True, description="a whole number from 1 to 1000000"
    )
    """The GPUs that its workloads can have together."""


def pools_crossings(pools: Any) -> Iterator[PydanticCustomError]:
    """Names given twice."""
    names: list[str] = []
    for index, pool in sound_items(pools, GpuPoolSettings):
        if pool.name in names:
            yield crossed(f"two pools are named {pool.name!r}", "pools", index, "name")
        names.append(pool.name)
