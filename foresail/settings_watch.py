"""Settings of the watch list: models to plan for without a ScaledObject."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field
from pydantic_core import PydanticCustomError

from foresail.settings_values import MetadataText, Text
from scaler.errors import MetadataError
from scaler.faults import crossed
from scaler.parts import Part, sound_items
from scaler.trigger_parsing import AllowedOptions, parse

_NAME: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9.-]+")
_KEYS_OF_ANSWERS: Final = ("mode", "otherTriggers")
"""Keys of a trigger that shape the answer to KEDA, which does not ask about the watch list."""

AllowedFor = Callable[[Mapping[str, str]], AllowedOptions]


class WatchSettings(Part):
    """A model to plan for and to show; none of its replicas is changed.

    Further keys are those of a trigger's metadata, such as `leadTime` and `maxReplicas`.
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


def watch_crossings(watch: Any, allowed_for: AllowedFor) -> Iterator[PydanticCustomError]:
    """Faults of the watch list: names given twice, and metadata that cannot be used.

    Args:
        watch: the list, which may be faulty.
        allowed_for: the allowed options of an entry with this metadata.
    """
    names = set()
    for index, one in sound_items(watch, WatchSettings):
        at, name = ("watch", index), (one.namespace, one.name)
        if name in names:
            message = f"two models of the watch list are named {'/'.join(name)}: give one a name"
            yield crossed(message, *at)
        names.add(name)
        metadata = dict(one.metadata)
        for key in _KEYS_OF_ANSWERS:
            if metadata.pop(key, None) is not None:
                message = f"the watch list takes no {key}: KEDA does not ask about its models"
                yield crossed(message, *at, key)
        try:
            parse(metadata, allowed_for(metadata))
        except MetadataError as error:
            yield crossed(str(error), *at)
