"""The real helm, and what it renders of our chart."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "deploy" / "chart" / "foresail"
VALUES: Final = sorted((CHART / "ci").glob("*.yaml"))
RELEASE: Final = "foresail"
"""In a namespace of the same name, as deploy/examples has them."""
Object = dict[str, Any]


class HelmError(Exception):
    """Helm failed; with what it said."""


@dataclass(frozen=True)  # a key of the cache below
class Helm:
    """The program."""

    program: Path
    home: Path
    """For its cache and settings, in place of those of whoever runs the tests."""
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Run it; its output."""
        homes = {f"HELM_{kind}_HOME": str(self.home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [self.program, *arguments],
            input=text,
            env={**os.environ, **homes, "KUBECONFIG": str(self.kubeconfig or os.devnull)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            raise HelmError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def rendered(self, values: Path, *more: str) -> tuple[Object, ...]:
        """Every object of the chart under a values file, those of hooks too."""
        return objects_of(self.template(values, *more))

    @cache  # noqa: B019 - one helm, for the whole run
    def template(self, values: Path, *more: str) -> str:
        """The same as text."""
        return self("template", RELEASE, str(CHART), "-n", RELEASE, "-f", str(values), *more)


def objects_of(text: str) -> tuple[Object, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(one for one in yaml.load_all(text, Loader=loader) if one)


def name_of(one: Object) -> str:
    return f"{one['kind']} {one['metadata'].get('namespace', '-')}/{one['metadata']['name']}"


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def pod_of(one: Object) -> Object | None:
    """The pod that an object is or makes: its metadata and spec."""
    if one["kind"] == "Pod":
        return one
    template = one.get("spec", {}).get("template") if one["kind"] in _MAKERS else None
    return dict(template) if template is not None else None


_MAKERS: Final = frozenset({"Deployment", "DaemonSet", "StatefulSet", "Job"})


def pods(objects: tuple[Object, ...]) -> Iterator[tuple[Object, Object]]:
    """What makes pods, and the pod."""
    for one in objects:
        pod = pod_of(one)
        if pod is not None:
            yield one, pod


def rules(objects: tuple[Object, ...]) -> Iterator[tuple[Object, Mapping[str, list[str]]]]:
    """Each role with each of its rules."""
    for one in of_kind(objects, "Role", "ClusterRole"):
        for rule in one["rules"]:
            yield one, rule
