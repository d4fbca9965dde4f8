"""The shipped rule under another trigger, by name: `foresail+KEY=VALUE+KEY=VALUE`.

A key is one of the trigger's, or one of two that say how wrong its figures are: `capacityTimes=0.7`
gives a replica's speeds 30 % too low, `leadTimes=2` a lead time of twice the truth, and `none` in
place of the number gives nothing. With both `none` the rule is told the model's name alone.
`without=PART` switches off a part that no trigger switches off.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from replay.policies.port import PolicyKind
from replay.policies.shipped import FORESAIL, Foresail
from replay.policies.without import Part
from replay.trigger import Overrides
from scaler.errors import ForesailError
from scaler.spelling import nearest
from scaler.trigger import ALIASES

_CAPACITY: Final = "capacityTimes"
_LEAD: Final = "leadTimes"
_WITHOUT: Final = "without"
_NONE: Final = "none"
_QUANTILE: Final = "quantile"
_BY_FACTOR: Final = (_CAPACITY, _LEAD)


class UnknownVariantError(ForesailError):
    """No such variant; the message says what is wrong with its name."""


def name_of(overrides: Overrides) -> str:
    """The name under which `variant` knows these overrides."""
    by_factor = [
        f"{key}={_NONE if factor is None else f'{factor:g}'}"
        for key, factor in ((_CAPACITY, overrides.capacity), (_LEAD, overrides.lead))
        if factor != 1
    ]
    keys = [f"{key}={value}" for key, value in overrides.keys]
    without = [] if overrides.without is None else [f"{_WITHOUT}={overrides.without}"]
    return "+".join((FORESAIL.name, *by_factor, *keys, *without))


def variant(name: str) -> PolicyKind:
    """The kind of this name.

    Raises:
        UnknownVariantError: it is none, or a key or a factor in it is wrong.
    """
    rule, *parts = name.split("+")
    if rule != FORESAIL.name:
        raise UnknownVariantError(f"{name!r}: only {FORESAIL.name} has variants")
    pairs = [(key, value) for key, _, value in (part.partition("=") for part in parts)]
    for key, _ in pairs:
        _check_key(name, key)
    factors = {key: _factor(name, value) for key, value in pairs if key in _BY_FACTOR}
    overrides = Overrides(
        capacity=factors.get(_CAPACITY, 1.0),
        lead=factors.get(_LEAD, 1.0),
        keys=tuple(pair for pair in pairs if pair[0] not in (*_BY_FACTOR, _WITHOUT)),
        without=next((_part(name, value) for key, value in pairs if key == _WITHOUT), None),
    )
    kind = replace(FORESAIL, name=name, make=partial(Foresail, overrides=overrides))
    # A quantile takes the place of the cost that is the knob: this variant has the one setting.
    return replace(kind, knobs=()) if any(key == _QUANTILE for key, _ in pairs) else kind


def _check_key(name: str, key: str) -> None:
    known = (*ALIASES, *_BY_FACTOR, _WITHOUT)
    if key not in known:
        near = nearest(key, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known))}"
        raise UnknownVariantError(f"{name!r}: {key!r} is no key of the trigger; {hint}")


def _part(name: str, text: str) -> Part:
    if text not in set(Part):
        raise UnknownVariantError(f"{name!r}: {text!r} is no part; known: {', '.join(Part)}")
    return Part(text)


def _factor(name: str, text: str) -> float | None:
    if text == _NONE:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        raise UnknownVariantError(
            f"{name!r}: {text!r} is no factor: give a number above 0, or none"
        )
    return factor
