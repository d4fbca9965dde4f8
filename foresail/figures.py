"""Figures as the tables of fleet and cost show them, and names as JSON has them."""

from typing import Final

from pydantic.alias_generators import to_camel

UNKNOWN: Final = "?"


def gpus(count: float) -> str:
    """A count of GPUs, parts with one digit; a part is never rounded to 0."""
    if count == round(count):
        return f"{count:,.0f}"
    return f"{count:,.1f}" if count >= 0.05 else "<0.1"  # noqa: PLR2004


def partly(known: str, missing: float, all_of: float) -> str:
    """A sum as text: `≥` if `missing` of `all_of` GPUs are unknown, `?` if all of them are."""
    if missing <= 0:
        return known
    return UNKNOWN if missing >= all_of else f"≥{known}"


def dollars(usd: float) -> str:
    return f"{usd:,.2f}" if usd < 1000 else f"{usd:,.0f}"  # noqa: PLR2004


def last(days: float) -> str:
    """How far back something reaches, in a unit that does not round it to nothing."""
    spans = (("day", days), ("hour", days * 24), ("minute", round(days * 1440)))
    unit, amount = next((one for one in spans if one[1] >= 1), spans[-1])
    number = f"{amount:.1f}".removesuffix(".0")
    return f"the last {unit}" if number == "1" else f"the last {number} {unit}s"


def camel(value: object) -> object:
    match value:
        case dict():
            return {to_camel(str(key)): camel(inner) for key, inner in value.items()}
        case list() | tuple():
            return [camel(inner) for inner in value]
        case _:
            return value
