"""The mix of pods that an operator expects, from a YAML file.

pods:
  - {weight: 6, cpu: 8, memory: 64Gi, gpus: 1}
  - {weight: 1, cpu: 64, memory: 512Gi, gpus: 8, models: [NVIDIA H100 80GB HBM3]}
"""

from math import ceil
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from fleet.invalid import invalid_lines
from fleet.located import Document, UnreadableYamlError
from fleet.quantities import quantity
from scheduler.mix import Mix
from scheduler.naming import model_name
from scheduler.placement import GPUS_MAX, WHOLE_MILLI, Shape

_MIB: Final = 2**20

Amount = Annotated[float, BeforeValidator(lambda told: float(quantity(told))), Field(ge=0)]


class MixFileError(ValueError):
    """A mix file that cannot be used; one line a fault, each with its line and place."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Pod(_Part):
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    cpu: Amount
    memory: Amount
    gpus: Annotated[int, Field(ge=0, le=GPUS_MAX)] = 0
    gpu_milli: Annotated[int, Field(ge=1, le=WHOLE_MILLI)] = WHOLE_MILLI
    """Of files of before: it is whole GPUs that pods get."""
    models: tuple[str, ...] = ()

    def shape(self) -> Shape:
        return Shape(
            cpu_milli=ceil(self.cpu * 1000),
            memory_mib=ceil(self.memory / _MIB),
            gpus=self.gpus,
            gpu_milli=WHOLE_MILLI if self.gpus else 0,
            models=frozenset(map(model_name, self.models)) if self.gpus else frozenset(),
        )


class _File(_Part):
    pods: Annotated[tuple[_Pod, ...], Field(min_length=1)]


def mix_of(text: str) -> Mix:
    """The mix of a file's text.

    Raises:
        MixFileError: with what is wrong, and where.
    """
    try:
        document = Document.sound(text)
    except UnreadableYamlError as error:
        raise MixFileError(f"line {error.line}: {error}") from error
    try:
        file = _File.model_validate(document.value)
        weights: dict[Shape, float] = {}
        for pod in file.pods:
            weights[pod.shape()] = weights.get(pod.shape(), 0.0) + pod.weight
    except ValidationError as error:
        raise MixFileError("\n".join(invalid_lines(error, document))) from error
    except ValueError as error:
        raise MixFileError(str(error)) from error
    return Mix(weights)
