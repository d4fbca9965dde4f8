"""The seeds that a benchmark is asked for."""


def seeds(text: str) -> list[int]:
    """`1-5`, `1,3` or `1`.

    Raises:
        ValueError: it is none of these.
    """
    first, dash, last = text.partition("-")
    found = list(range(int(first), int(last) + 1)) if dash else [int(n) for n in text.split(",")]
    if not found:
        raise ValueError(f"{text!r} has no seed")
    return found
