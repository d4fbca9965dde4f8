"""Which names may become a part of a path: RFC 1123, as API servers check them."""

import pytest

from scheduler.object_names import is_namespace_name, is_object_name


@pytest.mark.parametrize(
    ("text", "namespace", "name"),
    [
        ("llm", True, True),
        ("0-a", True, True),
        ("a" * 63, True, True),
        ("a" * 64, False, True),
        ("a.b", False, True),
        ("a" * 253, False, True),
        ("a" * 254, False, False),
        ("", False, False),
        (".", False, False),
        ("..", False, False),
        ("a..b", False, False),
        ("a/b", False, False),
        ("A", False, False),
        ("a-", False, False),
        ("a\n", False, False),
        ("ä", False, False),
    ],
)
def test_names_are_as_kubernetes_has_them(text: str, *, namespace: bool, name: bool) -> None:
    assert (is_namespace_name(text), is_object_name(text)) == (namespace, name)
