"""Documents of manifests: their values, the lines of any path, and what cannot be read."""

from itertools import pairwise

import pytest

from fleet.located import DEPTH_MAX
from fleet.manifests import LocatedMapping, Manifest, Unreadable, line_of, manifests_in

TEXT = """\
# A comment of two
# lines.
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
spec:
  base: &base {x: 1, y: "2", z: 1.5, t: true, none: null, day: 2026-01-01}
  list:
    - first
    - <<: *base
      y: own
    - *base
data:
  file.yaml: |
    one
    two
---
{"kind": "Pod", "list": [
  {"a": 1}]}
"""


def values(text: str) -> list[LocatedMapping]:
    return [one.value for one in manifests_in(text) if isinstance(one, Manifest)]


def faults(text: str) -> list[tuple[int, str]]:
    found = [one for one in manifests_in(text) if isinstance(one, Unreadable)]
    return [(one.line, one.why) for one in found]


def test_values_are_as_kubernetes_reads_them() -> None:
    first, second = values(TEXT)
    base = {"x": 1, "y": "2", "z": 1.5, "t": True, "none": None, "day": "2026-01-01"}

    assert first["spec"] == {"base": base, "list": ["first", {**base, "y": "own"}, base]}
    assert first["data"] == {"file.yaml": "one\ntwo\n"}
    assert second == {"kind": "Pod", "list": [{"a": 1}]}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("metadata", "name"), 6),
        (("spec", "list", 0), 10),
        (("spec", "list", 1, "y"), 12),
        (("spec", "list", 1, "x"), 8),
        (("spec", "missing", "too"), 7),
        (("spec", "list", 9), 9),
        ((), 3),
    ],
)
def test_each_path_has_the_line_of_its_nearest_key(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(values(TEXT)[0], path) == line


def test_lines_go_on_after_the_first_document_and_in_json() -> None:
    second = values(TEXT)[1]

    assert line_of(second, ("kind",)) == 19
    assert line_of(second, ("list", 0, "a")) == 20


def test_the_text_of_a_block_begins_on_the_next_line() -> None:
    data = values(TEXT)[0]["data"]

    assert isinstance(data, LocatedMapping)
    assert data.blocks == {"file.yaml": 16}


def test_a_key_that_stands_twice_is_named_with_both_lines() -> None:
    (one,) = manifests_in("a: 1\nb: 2\na: 3\n")

    assert isinstance(one, Manifest)
    assert one.value == {"a": 3, "b": 2}
    assert list(one.faults) == [(3, "key 'a' is on line 1 already; the last one counts")]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: [1\n---\nb: 1\n", 2, "not YAML"),
        ("a: 1\nb: \x07\n", 2, "control character 0x07"),
        ("a: *b\n", 1, "*b refers to no &b"),
        ("a: &a\n  b: *a\n", 2, "*a contains itself"),
        ("? [a]\n: b\n", 1, "a key is a text"),
        ("kind: X\nname: {{ .Values.name }}\n", 2, "a template"),
        ("\n".join(" " * depth + "a:" for depth in range(DEPTH_MAX + 2)), 65, "nested deeper"),
        ("[" * 100_000, 1, "not YAML"),
    ],
)
def test_a_document_that_cannot_be_read_says_where_and_why(text: str, line: int, why: str) -> None:
    ((at, said), *_) = faults(text)

    assert at == line
    assert why in said


def test_a_fault_in_one_document_hides_no_other() -> None:
    assert [one["kind"] for one in values("kind: A\n---\na: [\n---\nkind: B\n")] == ["A", "B"]


def test_aliases_that_unfold_to_more_than_any_manifest_are_refused_before_they_do() -> None:
    # Nine references to the one before, twelve times over: 9^13 values.
    names = "abcdefghijklm"
    lines = [f"a: &a [{','.join('x' * 9)}]"]
    lines += [
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in pairwise(names)
    ]

    ((line, why),) = faults("\n".join(lines))

    assert line < 9
    assert "aliases unfolded" in why


def test_json_with_halves_of_a_character_is_read_without_lines() -> None:
    (value,) = values('{"kind": "Pod", "name": "\\ud83d\\ude00"}')

    assert value["name"] == "😀"
    assert line_of(value, ("name",)) == 1


def test_a_list_of_manifests_is_as_many() -> None:
    assert [one["kind"] for one in values("- kind: A\n- kind: B\n- 1\n")] == ["A", "B"]


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "--- # nothing\n---\n", "text"])
def test_what_holds_no_mapping_is_no_manifest(text: str) -> None:
    assert list(manifests_in(text)) == []
