"""What a PromQL query names: series with their labels, and labels that it aggregates by.

promtool knows whether a query is PromQL. It does not know which series there are.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

FROM_PROMETHEUS: Final = frozenset({"cluster", "instance", "job", "namespace", "pod"})
"""Labels that each scrape adds."""
_VARIABLES: Final = {
    "$__rate_interval": "5m",
    "$__range": "1d",
    "${horizon}": "300",
    "$horizon": "300",
    "$dimension": "prompt_tokens",
    "$namespace": "llm",
    "$scaled_object": "chat",
    "$pool": ".*",
}
_SELECTED: Final = re.compile(r"\b([a-z]+_[a-z_]+)\b(?:\{([^}]*)\})?(?!\s*\()")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RATED: Final = re.compile(r"\b(?:rate|increase|irate)\(\s*(\w+)")


@dataclass(frozen=True)
class Selected:
    series: str
    values: Mapping[str, tuple[str, ...]]
    """Of each label that it must or must not have."""


def interpolated(query: str) -> str:
    """The query as Grafana sends it.

    Raises:
        ValueError: it has a variable that no dashboard has.
    """
    for name in sorted(_VARIABLES, key=len, reverse=True):
        query = query.replace(name, _VARIABLES[name])
    if "$" in query:
        raise ValueError(f"a variable that is not known: {query}")
    return query


def selected(query: str) -> Iterator[Selected]:
    """Every series that the query reads."""
    for name, matchers in _SELECTED.findall(_GROUPED.sub("", query)):
        if name.startswith(("foresail_", "process_", "python_")):
            found = _MATCHER.findall(matchers)
            yield Selected(name, {label: tuple(text.split("|")) for label, _, text in found})


def faults(query: str, exported: Mapping[str, set[str]]) -> Iterator[str]:
    """Series and labels of a query that no process exports; rates of what is no counter."""
    found = list(selected(query))
    if not found:
        yield "it reads no series of Foresail"
    yield from (f"no process exports {one.series}" for one in found if one.series not in exported)
    there = [one for one in found if one.series in exported]
    for one in there:
        wrong = one.values.keys() - exported[one.series]
        yield from (f"{one.series} has no label {label}" for label in wrong)
    known = FROM_PROMETHEUS.union(*(exported[one.series] for one in there))
    for group in _GROUPED.findall(query):
        wrong = {label.strip() for label in group.split(",")} - known - {""}
        yield from (f"it groups by {label}, which none of its series has" for label in wrong)
    for rated in _RATED.findall(query):
        if not rated.endswith(("_total", "_bucket", "_count", "_sum")):
            yield f"it takes a rate of {rated}, which is no counter"


def parse_errors(queries: Iterable[str], folder: Path) -> str:
    """What promtool says of the queries, all in one call; empty where it takes them."""
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    file = folder / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )
    return checked.stderr if checked.returncode else ""
