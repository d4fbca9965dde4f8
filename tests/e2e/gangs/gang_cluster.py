"""What a test makes on the bed with gangs, and how Foresail reads it there."""

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from foresail.cli import main
from tests.e2e.bed import READY_SECONDS, Bed
from tests.e2e.processes import Done, done_unless_busy

Json = dict[str, Any]
NAMESPACE = "ml"


class GangCluster:
    """Jobs and groups of a test; all are gone after it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._made: list[tuple[str, str]] = []
        bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def make(self, document: Json) -> None:
        """An object as its user applies it."""
        self.bed.apply(document)
        self.remember(document)

    def remember(self, document: Json) -> None:
        """Take an object away after the test."""
        kind = f"{document['kind']}.{document['apiVersion'].partition('/')[0]}"
        self._made.append((kind, document["metadata"]["name"]))

    def jobs(self) -> dict[str, Json]:
        """What `foresail fleet --jobs` reads, by kind and name."""
        command = ["fleet", "--jobs", "-o", "json", "--kubeconfig"]
        command += [str(self.bed.kubeconfig("admin"))]

        def run() -> Done:
            result = CliRunner().invoke(main, command, catch_exceptions=False)
            return Done(command, result.exit_code, result.stdout, result.stderr)

        done = done_unless_busy(
            run,
            "the jobs that the verb reads",
            # A busy API server may not have answered in time, which the verb says and no more.
            busy=lambda done: done.returncode != 0,
            deadline_seconds=READY_SECONDS,
        )
        (cluster,) = json.loads(done.stdout)["clusters"]
        return {f"{one['kind']} {one['name']}": one for one in cluster["jobs"]}

    def until(self, name: str, **figures: object) -> Json:
        """Wait until a job has these figures; the job."""
        return self._until(
            name,
            lambda job: all(job.get(key) == value for key, value in figures.items()),
            f"{name} with {figures}",
        )

    def until_it_waits_for(self, name: str, words: str, **figures: object) -> Json:
        """Wait until the first of what a job waits for has these words; the job."""
        return self._until(
            name,
            lambda job: (
                words in "".join(job.get("waitsFor", [])[:1])
                and all(job.get(key) == value for key, value in figures.items())
            ),
            f"{name} that waits for {words}, with {figures}",
        )

    def until_pods(self, number: int) -> list[Json]:
        """Wait until there are so many; these."""
        self.bed.wait(lambda: len(self.pods("")) == number, f"{number} pods")
        return self.pods("")

    def _until(self, name: str, holds: Callable[[Json], bool], what: str) -> Json:
        found: Json = {}

        def there() -> bool:
            nonlocal found
            found = self.jobs().get(name, {})
            return holds(found)

        self.bed.wait(there, what, seen=lambda: f"{name} is {found}")
        return found

    def pods(self, selector: str) -> list[Json]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}"
        found: list[Json] = self.bed.read(path)["items"]
        return found

    def clear(self) -> None:
        for kind, name in reversed(self._made):
            self.bed.kubectl(
                "delete", kind, name, "-n", NAMESPACE, "--ignore-not-found", "--timeout=600s"
            )
        self.bed.wait(
            lambda: not self.pods("") and not self.jobs(), "the pods and what made them to be gone"
        )
