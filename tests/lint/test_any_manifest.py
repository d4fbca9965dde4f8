"""No manifest ends a rule: whatever stands where the API has something else, it is no finding."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.all_cases import CASES
from tests.lint.manifests import CLEAN, Manifest, lint

MANIFESTS = [*CLEAN, *(one for case in CASES for one in (*case.found, *case.clean))]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True),
    st.sampled_from(["", "0", "x", "-1", "100%", "1h", "true", "\x1b[31m", "x" * 5000]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Manifest:
    """One of the manifests with something else in one to three places."""
    made: Any = draw(st.sampled_from(MANIFESTS))
    for _ in range(draw(st.integers(1, 3))):
        made = _replaced(made, draw, depth=0)
    assert isinstance(made, dict)
    return made


def _replaced(value: Any, draw: st.DrawFn, depth: int) -> Any:
    places = list(value) if isinstance(value, dict) else range(len(value))
    if not places:
        return value
    place = draw(st.sampled_from(list(places)))
    inner = value[place]
    if isinstance(inner, dict | list) and inner and (depth == 0 or draw(st.integers(0, 3))):
        new = _replaced(inner, draw, depth + 1)
    elif depth == 0:
        return value  # kind and apiVersion stay: without them nothing looks
    else:
        new = draw(ANYTHING)
    if isinstance(value, dict):
        return {**value, place: new}
    return [*value[:place], new, *value[place + 1 :]]


@given(st.lists(spoilt(), min_size=1, max_size=3), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_manifest_is_linted_and_any_message_can_be_shown(
    manifests: list[Manifest], live: bool
) -> None:
    for one in lint(*manifests, live=live, node_lead_seconds=600.0):
        assert "\x1b" not in one.message
        assert "\n" not in one.message
        assert len(one.message) < 2000
