"""Whether a CEL selector of a DeviceClass or a claim matches a device, as the API server has it.

Evaluated by Google's runtime (`cel-expr-python`) with the functions that Kubernetes adds for
devices: `semver`, `quantity` and their comparisons, as maps of one key because the runtime takes no
types of ours. What it cannot compile or evaluate has no answer here, and a claim with such a
selector is not predicted. Answers are kept by what the expression can see of a device, so that
thousands of equal GPUs cost one evaluation.

Tenants write selectors. The API server bounds what an evaluation costs, and the runtime bounds only
the iterations and the depth of an expression. So an expression whose texts could grow without
bound is not evaluated, and `steps_of` says how much work the others are at most.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext.ext_bindings import ExtBindings
from cel_expr_python.ext.ext_optional import ExtOptional
from cel_expr_python.ext.ext_strings import ExtStrings

from fleet.quantities import quantity
from scheduler.first_fit import Device, UnpredictableError

LENGTH_MAX: Final = 10 * 2**10
"""Of an expression, as the API server has it."""
_KEPT_MAX: Final = 4096
_COMPILED_MAX: Final = 512
_GROWN_MAX: Final = 2**24
"""Characters of the longest text that an evaluation may make."""
_ATTRIBUTE_MAX: Final = 64
"""Characters of an attribute, by the API."""
_CALLS_MAX: Final = 32
"""That make texts longer, in one expression."""
_ITERATIONS_MAX: Final = 10_000
"""Of one evaluation, by the runtime."""
_STEP_CHARACTERS: Final = 256
"""Of an expression, which are evaluated in the time that a search takes to look at a device."""
_MULTIPLIES: Final = re.compile(r"\b(?:replace|join|format|split|map|quote)\s*\(")
_ITERATES: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?(\+.*)?")
_QUOTED: Final = re.compile(r"""["']([^"']*)["']""")
_ASKED_FOR: Final = re.compile(r"""["']([^"']*)["']\s+in\s+device\.""")
_KIND_VERSION: Final = "version"
_KIND_QUANTITY: Final = "quantity"

_Own = Mapping[str, str]
"""A value of one of Kubernetes' types: its kind, and its text."""


class UnknownMatchError(UnpredictableError):
    """It is unknown whether the selector matches; the message says why."""


@dataclass(frozen=True, slots=True)
class Version:
    """An attribute that is a semantic version."""

    text: str


@dataclass(frozen=True, slots=True)
class Amount:
    """A capacity, as Kubernetes writes quantities."""

    text: str


def matches(expression: str, device: Device) -> bool:
    """Whether the device is selected.

    Raises:
        UnknownMatchError: with the reason.
    """
    attributes = device.attributes
    names = _names_in(expression, tuple(attributes))
    # With its type: 1 and true are not the same to a selector.
    seen = tuple([(name, type(attributes[name]), attributes[name]) for name in names])
    answer = _answer(expression, device.driver, seen)
    if isinstance(answer, str):
        raise UnknownMatchError(answer)
    return answer


def steps_of(expression: str) -> int:
    """The work of an evaluation at the most, in devices that a search looks at."""
    length, loops = len(expression), len(_ITERATES.findall(expression))
    iterations = min(_ITERATIONS_MAX, (length // 2) ** min(loops, 4)) if loops else 0
    return 1 + length // _STEP_CHARACTERS + iterations * length // (4 * _STEP_CHARACTERS)


@lru_cache(_KEPT_MAX)
def _names_in(expression: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The attributes that the expression may ask for."""
    return tuple(sorted(name for name in names if name.rpartition("/")[2] in expression))


@lru_cache(_KEPT_MAX)
def _answer(
    expression: str, driver: str, seen: tuple[tuple[str, type, Hashable], ...]
) -> bool | str:
    """Whether such a device is selected, or why that is not known."""
    try:
        return _evaluated(expression, driver, seen)
    except UnknownMatchError as error:
        return str(error)


def _evaluated(expression: str, driver: str, seen: tuple[tuple[str, type, Hashable], ...]) -> bool:
    # A domain that a device has nothing of is empty and not missing, unless `in` asks for it.
    domains = {driver, *_QUOTED.findall(expression)} - set(_ASKED_FOR.findall(expression))
    attributes: dict[str, dict[str, object]] = {domain: {} for domain in domains}
    capacity: dict[str, dict[str, object]] = {domain: {} for domain in domains}
    for name, _, value in seen:
        domain, _, short = name.rpartition("/")
        match value:
            case Amount(text):
                capacity.setdefault(domain, {})[short] = {_KIND_QUANTITY: text}
            case Version(text):
                attributes.setdefault(domain, {})[short] = {_KIND_VERSION: text}
            case _:
                attributes.setdefault(domain, {})[short] = value
    variables = {"driver": driver, "attributes": attributes, "capacity": capacity}
    compiled = _compiled(expression)
    if isinstance(compiled, str):
        raise UnknownMatchError(compiled)
    try:
        answer = compiled.eval(data={"device": variables}).plain_value()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise UnknownMatchError(f"{expression[:128]!r}: {str(error)[:128]}") from error
    if not isinstance(answer, bool):
        raise UnknownMatchError(f"{expression[:128]!r}: {str(answer)[:128]}")
    return answer


def _grown(expression: str) -> float:
    """Characters of the longest text, or list, that the expression could make.

    Each `+` doubles at the most, where a variable is bound to a sum and added to itself; `replace`
    and its like put one text in place of each character of another one.
    """
    texts = 1 + len(_MULTIPLIES.findall(expression))
    length = (len(expression) + _ATTRIBUTE_MAX) / texts
    doublings = expression.count("+")
    return length**texts * 2.0**doublings if texts + doublings < _CALLS_MAX else inf


@lru_cache(_COMPILED_MAX)
def _compiled(expression: str) -> Any:
    """The program, or a text: why there is none."""
    if len(expression) > LENGTH_MAX:
        return f"a selector of {len(expression)} characters"
    if _grown(expression) > _GROWN_MAX:
        return f"{expression[:128]!r} could make texts without bound"
    try:
        return _environment().compile(expression)
    except Exception:  # noqa: BLE001 - the runtime promises none in particular
        return f"{expression[:128]!r} does not compile here"


@lru_cache(1)
def _environment() -> Any:
    own, text, whole = cel.Type.Map(cel.Type.STRING, cel.Type.STRING), cel.Type.STRING, cel.Type.INT

    def made(name: str, kind: str) -> Any:
        overload = cel.Overload(
            f"string_to_{kind}", return_type=own, parameters=[text], impl=lambda told: {kind: told}
        )
        return cel.FunctionDecl(name, [overload])

    def compared(name: str, returns: Any, impl: Callable[[_Own, _Own], object]) -> Any:
        overload = cel.Overload(
            f"own_{name}", return_type=returns, parameters=[own, own], is_member=True, impl=impl
        )
        return cel.FunctionDecl(name, [overload])

    return cel.NewEnv(
        variables={"device": cel.Type.DYN},
        extensions=[ExtBindings(), ExtOptional(), ExtStrings()],
        functions=[
            made("quantity", _KIND_QUANTITY),
            made("semver", _KIND_VERSION),
            compared("compareTo", whole, _compare),
            compared("isGreaterThan", cel.Type.BOOL, lambda a, b: _compare(a, b) > 0),
            compared("isLessThan", cel.Type.BOOL, lambda a, b: _compare(a, b) < 0),
        ],
    )


def _compare(one: _Own, other: _Own) -> int:
    """-1, 0 or 1.

    Raises:
        ValueError: they are of two kinds, or one is not of its own.
    """
    left, right = _ordered(one), _ordered(other)
    if left[0] != right[0]:
        raise ValueError(f"{left[0]} compared with {right[0]}")
    return (left > right) - (left < right)


def _ordered(value: _Own) -> tuple[Any, ...]:
    ((kind, text),) = value.items()
    if kind == _KIND_QUANTITY:
        return kind, quantity(text)
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no version such as 9.0.0")
    numbers = tuple(int(part) for part in match.groups()[:3])
    # What is before a release is older than it.
    return kind, numbers, match[4] is None, match[4] or ""
