"""Settings of the watch list: models to plan for without a ScaledObject."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field
from pydantic_core import PydanticCustomError

from foresail.settings.values import MetadataText, Text
from scaler.decision.answers import Reference
from scaler.errors import MetadataError
from scaler.faults import crossed
from scaler.parts import Part, sound_items
from scaler.trigger import Mode

_NAME: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9.-]+")
_LABEL_CHARACTERS_MAX: Final = 63
"""Of a label's value, as in Kubernetes: an HPA names a model by a label selector."""

Admit = Callable[[str, Mapping[str, str]], None]
"""Raises `MetadataError` for metadata that a trigger of the namespace could not have."""


class WatchSettings(Part):
    """A model to plan for without a ScaledObject.

    Further keys are those of a trigger's metadata, such as `leadTime` and `maxReplicas`. With
    `mode` reactive or act an HPA gets the plan over the external metrics API.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MetadataText]

    namespace: Text
    """The namespace of the engines."""
    model: Text
    """The served model's name, as the engines' metrics show it."""
    engine: Text | None = None
    """The preset that reads the engines' metrics; by default the trigger's default."""
    given_name: str | None = Field(
        default=None,
        alias="name",
        pattern=_NAME,
        description="lower-case letters, digits, dashes and dots, at most 253",
    )
    """The name to show; by default made from the model."""

    @property
    def name(self) -> str:
        """The name given, else the model's in lower case, with dashes for other characters."""
        return self.given_name or _NOT_OF_A_NAME.sub("-", self.model.lower()).strip("-.")

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of a trigger for the same model."""
        engine = {} if self.engine is None else {"engine": self.engine}
        return {"model": self.model, **engine, **self.__pydantic_extra__}

    @property
    def reference(self) -> Reference:
        return Reference.of(self.namespace, self.name, self.metadata)

    @property
    def is_answered(self) -> bool:
        """Whether an HPA may get its replicas."""
        return self.metadata.get("mode", Mode.ADVISE) in (Mode.REACTIVE, Mode.ACT)


def watch_crossings(
    watch: Any, admit: Admit, *, is_answered: bool
) -> Iterator[PydanticCustomError]:
    """Faults of the watch list: names given twice, and metadata that cannot be used.

    Args:
        watch: the list, which may be faulty.
        admit: refuses metadata as those of a trigger in its namespace.
        is_answered: whether the external metrics API is served.
    """
    names = set()
    for index, one in sound_items(watch, WatchSettings):
        at, name = ("watch", index), (one.namespace, one.name)
        if name in names:
            message = f"two models of the watch list are named {'/'.join(name)}: give one a name"
            yield crossed(message, *at)
        names.add(name)
        metadata = dict(one.metadata)
        if metadata.pop("otherTriggers", None) is not None:
            message = "the watch list takes no otherTriggers: its models have no ScaledObject"
            yield crossed(message, *at, "otherTriggers")
        if one.is_answered and not is_answered:
            message = (
                f"nobody asks for the answer of mode {metadata['mode']!r}: give the group "
                "externalMetrics, from which an HPA reads it, or leave mode out"
            )
            yield crossed(message, *at, "mode")
        if one.is_answered and len(one.name) > _LABEL_CHARACTERS_MAX:
            message = (
                f"the name {one.name!r} has {len(one.name)} characters, and an HPA's selector takes"
                f" at most {_LABEL_CHARACTERS_MAX}: give a shorter name"
            )
            yield crossed(message, *at)
        try:
            admit(one.namespace, metadata)
        except MetadataError as error:
            yield crossed(str(error), *at)
