"""Cloud machine types: which GPUs are on them and how many, and what the whole machine costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fleet.located import Document

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A machine type."""

    name: str
    """As the label `node.kubernetes.io/instance-type` has it."""
    generation: str
    gpus: int
    usd_per_hour: float | None
    """Of the whole machine, on demand; None = not looked up."""
    source: str
    """Of the price."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Type(_Part):
    gpus: Annotated[int, Field(gt=0)]
    usd_per_hour: Positive | None = None


class _Machines(_Part):
    generation: str
    types: Mapping[str, _Type]


class _Cloud(_Part):
    cloud: str
    what: str
    as_of: date
    machines: tuple[_Machines, ...]


class _File(_Part):
    version: int = Field(alias="schema")
    clouds: tuple[_Cloud, ...]


@lru_cache(maxsize=1)
def instances() -> Mapping[str, Instance]:
    """The machine types that come with Foresail, by name."""
    text = files("fleet").joinpath("instances.yaml").read_text(encoding="utf-8")
    return {
        name: Instance(
            name=name,
            generation=machines.generation,
            gpus=one.gpus,
            usd_per_hour=one.usd_per_hour,
            source=f"{cloud.cloud} list: {cloud.what}; {cloud.as_of}",
        )
        for cloud in _File.model_validate(Document.sound(text).value).clouds
        for machines in cloud.machines
        for name, one in machines.types.items()
    }
