"""The nearest known spelling of a word, for messages about unknown ones."""

import difflib
from collections.abc import Iterable


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The spelling in `words` closest to `word`, or None where nothing is near."""
    by_folded = {_folded(candidate): candidate for candidate in words}
    folded = _folded(word)
    letters = sorted(folded)
    for candidate, spelling in by_folded.items():
        if sorted(candidate) == letters:  # difflib has `mode` nearer to `modle` than `model`
            return spelling
    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
