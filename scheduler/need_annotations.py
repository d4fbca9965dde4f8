"""A need as people write it: annotations of a pod, and the options of `foresail claim`.

One table has both. A pod's annotations are a tenant's: each fault names the annotation, the value
and what it takes, all faults are reported at once, and a near miss of a name is pointed out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from fleet.annotations import CHECKPOINT_EVERY, CHECKPOINTED_AT, EXPECTED_END, RUN_ID
from fleet.catalogue import Bottleneck, Catalogue, Precision
from fleet.quantities import quantity
from scheduler.drivers import DRIVERS
from scheduler.naming import models_named, near_models
from scheduler.need import Need
from scheduler.pods import GPU_MODELS

DOMAIN: Final = "foresail.io/"
GPUS_MAX: Final = 32
"""Devices that one claim may hold (`resource.k8s.io/v1`)."""
HEADS_MAX: Final = 1024
TEXT_LENGTH_MAX: Final = 1024
MISSPELT_MAX: Final = 16
"""Names that are compared with ours: a pod may have a hundred thousand."""
_SHOWN_MAX: Final = 64
_AMOUNT_MAX: Final = 10**18
_COUNT: Final = re.compile(r"([0-9]{1,24}(?:\.[0-9]{0,24})?)B")
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?)(ms|s)")


class NeedError(ValueError):
    """A need that cannot be used; one line a fault."""


class UnknownModelError(ValueError):
    """A GPU model that has no such name in any vocabulary; says which names are near."""

    def __init__(self, name: str, catalogue: Catalogue) -> None:
        shown, hint = name[:_SHOWN_MAX], near_models(name, catalogue)
        super().__init__(f"GPU models joined by |, and none is called {shown!r}: {hint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One fact of a need."""

    key: str
    """Of the annotation, below `foresail.io/`, and of the option."""
    of: str
    """The attribute of `Need`."""
    read: Callable[[str, Catalogue], object]
    takes: str
    what: str


def _amount(text: str) -> Fraction:
    amount = quantity(text)
    if not 0 < amount <= _AMOUNT_MAX:
        raise ValueError(f"{text!r} is out of range")
    return amount


def _bytes(text: str, _: Catalogue) -> float:
    return float(_amount(text))


def _count(text: str, _: Catalogue) -> float:
    """`70B` as model names have it, or a quantity such as 70e9 or 70G."""
    billions = _COUNT.fullmatch(text)
    return float(_amount(billions[1]) * 10**9 if billions else _amount(text))


def _tokens(text: str, _: Catalogue) -> float:
    return float(_amount(text))


def _seconds(text: str, _: Catalogue) -> float:
    match = _DURATION.fullmatch(text)
    seconds = Fraction(match[1]) / (1000 if match[2] == "ms" else 1) if match else Fraction(0)
    if not 0 < seconds <= 3600:  # noqa: PLR2004 - an hour, as in a trigger's metadata
        raise ValueError(f"{text!r} is no time between 0 and an hour")
    return float(seconds)


def _whole(most: int) -> Callable[[str, Catalogue], int]:
    def read(text: str, _: Catalogue) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= most):  # noqa: PLR2004
            raise ValueError(f"{text!r} is no number from 1 to {most}")
        return int(text)

    return read


def _one_of(kind: type[Precision] | type[Bottleneck]) -> Callable[[str, Catalogue], object]:
    return lambda text, _: kind(text)


def _ratio(text: str, _: Catalogue) -> float:
    ratio = quantity(text)
    if not 0 <= ratio <= Fraction(1, 2):
        raise ValueError(f"{text!r} is no ratio from 0 to 0.5")
    return float(ratio)


def _models(text: str, catalogue: Catalogue) -> frozenset[str]:
    names = set()
    for name in models_named(text):
        found = catalogue.find(name)
        if found is None:
            raise UnknownModelError(name, catalogue)
        names.add(found.name)
    return frozenset(names)


def _vendors(text: str, _: Catalogue) -> frozenset[str]:
    vendors = frozenset(part.strip() for part in text.split("|"))
    if not vendors <= DRIVERS.keys():
        raise ValueError(f"{text!r} is no list of vendors")
    return vendors


def _flag(text: str, _: Catalogue) -> bool:
    return {"true": True, "false": False}[text]


_MODEL_NAMES = "GPU models joined by |, as NVML, GFD, a cloud or `foresail gpus` call them"
FIELDS: Final = (
    Field(
        key="model-parameters", of="parameters", read=_count,
        takes="a count such as 70B or 70e9", what="of the model; with the precision its size",
    ),
    Field(
        key="active-parameters", of="active_parameters", read=_count,
        takes="a count such as 37B", what="that a token passes, in a mixture of experts",
    ),
    Field(
        key="weights-size", of="weights_bytes", read=_bytes,
        takes="bytes such as 141Gi or 70e9", what="of the weights, where parameters do not say it",
    ),
    Field(
        key="gpu-memory", of="memory_bytes", read=_bytes,
        takes="bytes such as 160Gi", what="of all GPUs of a replica, in place of a model's size",
    ),
    Field(
        key="kv-per-token", of="kv_token_bytes", read=_bytes,
        takes="bytes such as 320Ki", what="KV cache; estimated from the parameters if not given",
    ),
    Field(
        key="prompt-tokens", of="prompt_tokens", read=_tokens,
        takes="a number above 0", what="of a usual request [1024]",
    ),
    Field(
        key="output-tokens", of="output_tokens", read=_tokens,
        takes="a number above 0", what="of a usual answer [256]",
    ),
    Field(
        key="concurrent-requests", of="concurrent_requests", read=_whole(100_000),
        takes="a whole number from 1 to 100000", what="that must fit in memory at once [32]",
    ),
    Field(
        key="precision", of="precision", read=_one_of(Precision),
        takes="fp16, bf16, fp8, fp4, int4, awq or gptq",
        what="of weights and arithmetic; bf16 if a model is given without it",
    ),
    Field(
        key="tensor-parallel", of="tensor_parallel", read=_whole(GPUS_MAX),
        takes=f"a whole number from 1 to {GPUS_MAX} that divides the attention heads",
        what="GPUs of a replica; the cheapest width for a token, by generation, if not given",
    ),
    Field(
        key="attention-heads", of="attention_heads", read=_whole(HEADS_MAX),
        takes=f"a whole number from 1 to {HEADS_MAX}",
        what="of the model: num_attention_heads of its config.json; widths divide them",
    ),
    Field(
        key="bottleneck", of="bottleneck", read=_one_of(Bottleneck),
        takes="prefill, decode or kv", what="arithmetic, bandwidth or memory runs out [decode]",
    ),
    Field(
        key="ttft", of="ttft_seconds", read=_seconds,
        takes="a time such as 2s", what="objective: time to first token [2s]",
    ),
    Field(
        key="itl", of="itl_seconds", read=_seconds,
        takes="a time such as 60ms", what="objective: time between tokens [60ms]",
    ),
    Field(
        key=GPU_MODELS.removeprefix(DOMAIN), of="only", read=_models,
        takes=_MODEL_NAMES, what="that will do",
    ),
    Field(
        key="gpu-models-preferred", of="preferred", read=_models,
        takes=_MODEL_NAMES, what="to try first at any price",
    ),
    Field(
        key="gpu-models-excluded", of="excluded", read=_models,
        takes=_MODEL_NAMES, what="never to take",
    ),
    Field(
        key="gpu-vendors", of="vendors", read=_vendors,
        takes="nvidia, amd or nvidia|amd",
        what="that the engine's image runs on; nvidia, and those of GPU models named, if not given",
    ),
    Field(
        key="price-source", of="price_source", read=lambda text, _: text,
        takes="list, operator or a cloud", what="whose prices count",
    ),
    Field(
        key="memory-margin", of="memory_margin", read=_ratio,
        takes="a ratio from 0 to 0.5", what="of each GPU's memory that stays free [0.1]",
    ),
    Field(
        key="same-pcie-root", of="same_pcie_root", read=_flag,
        takes="true or false", what="GPUs without NVLink hang on one PCIe root [false]",
    ),
)  # fmt: skip
_OF_GANGS: Final = (CHECKPOINT_EVERY, CHECKPOINTED_AT, EXPECTED_END, RUN_ID)
OTHERS: Final = (
    *("claim", "container", "explain", "gpu-milli", "nvlink", "weights"),
    *(one.removeprefix(DOMAIN) for one in _OF_GANGS),
)
"""Keys of a pod's annotations that are no part of a need."""
SIZES: Final = ("model-parameters", "weights-size", "gpu-memory")
"""One of them makes a need."""


def annotated(annotations: Mapping[str, object], catalogue: Catalogue) -> Need | None:
    """The need of a pod; None if its annotations state none.

    Raises:
        NeedError: every fault.
    """
    stated = {
        field.key: annotations[DOMAIN + field.key]
        for field in FIELDS
        if DOMAIN + field.key in annotations
    }
    if not any(key in stated for key in SIZES):
        return None
    return need_of(stated, catalogue, called=called)


def called(key: str) -> str:
    """What a pod calls a fact of its need."""
    return f"annotation {DOMAIN}{key}"


def need_of(
    stated: Mapping[str, object], catalogue: Catalogue, *, called: Callable[[str], str]
) -> Need:
    """The need that these facts state, by the keys of `FIELDS`.

    Args:
        stated: text by key.
        catalogue: that knows the names of GPU models.
        called: what a key is called where it was written.

    Raises:
        NeedError: every fault.
    """
    values: dict[str, Any] = {}
    faults = []
    for field in FIELDS:
        if field.key not in stated:
            continue
        text = stated[field.key]
        try:
            values[field.of] = field.read(_text(text), catalogue)
        except UnknownModelError as error:
            shown = str(text)[:_SHOWN_MAX]
            faults.append(f"{called(field.key)} has the value {shown!r}: it takes {error}")
        except (ValueError, KeyError):
            shown = str(text)[:_SHOWN_MAX]
            faults.append(f"{called(field.key)} has the value {shown!r}: it takes {field.takes}")
    if faults:
        raise NeedError("\n".join(faults))
    if not any(key in stated for key in SIZES):
        first, *rest = SIZES
        raise NeedError(
            "the size of the model is missing\n"
            f"set {called(first)}, such as 70B\n"
            f"or {' or '.join(map(called, rest))}"
        )
    need = Need(**values)
    width = f"{called('tensor-parallel')} has the value '{need.tensor_parallel}'"
    check_width(need, width, called)
    if need.precision is None and need.weights:
        return replace(need, precision=Precision.BF16)
    return need


def check_width(need: Need, what: str, called: Callable[[str], str] = called) -> None:
    """Engines give each GPU the same number of attention heads, and refuse to start otherwise.

    Args:
        need: with or without a width.
        what: says the width, and where it was written.
        called: what a key is called there.

    Raises:
        NeedError: the width does not divide the heads.
    """
    width, heads = need.tensor_parallel, need.attention_heads
    if width is None or (heads or 2 ** (width.bit_length() - 1)) % width == 0:
        return
    if heads is not None:
        even = [str(one) for one in range(1, GPUS_MAX + 1) if heads % one == 0]
        raise NeedError(
            f"{what}: it takes a divisor of the {heads} attention heads: {', '.join(even)}"
        )
    below = 2 ** (width.bit_length() - 1)
    raise NeedError(
        f"{what}: GPUs share the attention heads evenly, and {width} divides few models' heads\n"
        f"it takes {below} or {2 * below}, or another divisor of the heads where"
        f" {called('attention-heads')} tells them"
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LENGTH_MAX:
        raise ValueError("no annotation that anybody writes")
    return value.strip()


def misspelt(annotations: Mapping[str, object]) -> list[str]:
    """What looks like an annotation of ours and is none, with what may have been meant."""
    keys = [*(field.key for field in FIELDS), *OTHERS]
    unknown = (
        key
        for name in annotations
        if name.startswith(DOMAIN)
        and (key := name.removeprefix(DOMAIN)) not in keys
        and len(key) <= _SHOWN_MAX
    )
    return [
        f"annotation {DOMAIN}{key} is unknown: did you mean {DOMAIN}{near[0]}?"
        for key in islice(unknown, MISSPELT_MAX)
        if (near := get_close_matches(key, keys, 1, cutoff=0.8))
    ]
