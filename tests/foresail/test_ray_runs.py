"""Work on a Ray cluster that cannot do it, told by a stand-in; tests/integration has a real one."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from foresail.ray.runs import OnRay, RayRunsError
from replay.kept_runs import code_digest


class FailedError(Exception):
    """Ray's own error."""


class FakeRay:
    """A cluster of two CPUs, whose workers answer one thing."""

    exceptions = SimpleNamespace(RayError=FailedError)

    def __init__(self, *, code: str = "", fails: str = "", cpus: int = 2) -> None:
        self._code, self._fails, self._cpus = code, fails, cpus
        self.alive = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._cpus} if self._cpus else {}

    def put(self, shared: object) -> object:
        return shared

    def remote(self, **_: object) -> Any:
        return lambda _kind: SimpleNamespace(remote=self._begin)

    def _begin(self, *_: object) -> Any:
        self.alive += 1
        return SimpleNamespace(code=SimpleNamespace(remote=lambda: self._code))

    def get(self, answers: Sequence[str]) -> Sequence[str]:
        if self._fails:
            raise FailedError(f"The actor died.\n{self._fails}")
        return answers

    def kill(self, _worker: object) -> None:
        self.alive -= 1


@pytest.mark.parametrize(
    ("ray", "message"),
    [
        pytest.param(
            FakeRay(code="of another version"), "have another version of Foresail", id="version"
        ),
        pytest.param(
            FakeRay(fails="ModuleNotFoundError: No module named 'foresail'"),
            "'foresail'; install Foresail on the cluster's nodes",
            id="not-installed",
        ),
        pytest.param(
            FakeRay(code=code_digest(), fails="out of memory"),
            "out of memory; with --state the same command goes on",
            id="died",
        ),
        pytest.param(FakeRay(cpus=0), "has no CPU to run on", id="no-cpu"),
    ],
)
def test_a_cluster_that_cannot_do_it_is_told_and_left_as_it_was(ray: FakeRay, message: str) -> None:
    with pytest.raises(RayRunsError, match=message):
        list(OnRay(ray, "ray://head:10001")("shared", lambda _, piece: piece, [1, 2, 3]))
    assert ray.alive == 0
