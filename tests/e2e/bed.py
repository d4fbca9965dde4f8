"""A control plane on loopback: etcd, Kubernetes and what stands beside it, as processes.

No container engine and no kubelet: pods are scheduled for real and run in kwok's imagination. The
programs are built by `scripts/bed.sh`; CRDs and stages are read from Go's module cache.
"""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import yaml

from tests.contracts.certificates import LOOPBACK, Authority
from tests.e2e.object_watch import ObjectWatch
from tests.e2e.processes import Program, done_unless_busy
from tests.prometheus import free_port, wait_for

ROOT = Path(__file__).parents[2]
MODULES = Path(__file__).parent / "testbed"
READY_SECONDS = 180.0
"""Reached on failure only."""
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Bed:
    """The control plane; as a context manager it is up inside and gone after."""

    def __init__(
        self, programs: Path, folder: Path, *, beside: Sequence[Callable[["Bed"], None]] = ()
    ) -> None:
        """A control plane that does not run yet.

        Args:
            programs: where `scripts/bed.sh` built them.
            folder: for its files and logs; made if it is not there.
            beside: what starts the components beside Kubernetes, in this order; empty = kwok with
                one node for everything, and KEDA.
        """
        self.folder = folder
        self.programs: dict[str, Program] = {}
        self.authority = Authority("bed")
        self.api_port = free_port()
        self._built = programs
        self._beside = beside
        self._stack = ExitStack()
        self._api = requests.Session()
        self._api.trust_env = False  # a bundle of CAs in the environment would win over ours

    def __enter__(self) -> Self:
        from tests.e2e import keda, kubernetes  # noqa: PLC0415 - they are written over a bed

        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(self._stop_all)
            kubernetes.issue(self)
            self._api.verify = self.file("ca.crt")
            self._api.cert = (self.file("admin.crt"), self.file("admin.key"))
            kubernetes.start(self)
            for start in self._beside or (kubernetes.start_nodes, keda.start):
                start(self)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # -- talking to the API server ---------------------------------------------------------------

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl as admin; its output.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        what = f"kubectl {' '.join(arguments)}"
        done = done_unless_busy(
            lambda: subprocess.run(
                [self.program("kubernetes", "kubectl"), *arguments],
                input=text,
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig("admin"))},
                capture_output=True,
                text=True,
                check=False,
            ),
            what,
            # It waits ten seconds for an API server that has no core, and has asked nothing then.
            busy=lambda done: "TLS handshake timeout" in done.stderr,
            deadline_seconds=READY_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{what}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *documents: object) -> None:
        """Make objects what `documents` say."""
        self.kubectl("apply", "--server-side", "-f", "-", text=yaml.safe_dump_all(documents))

    def get(self, *what: str) -> dict[str, Any]:
        """One object, or a list of them, by kubectl's names."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "-o", "json"))
        return found

    def read(self, path: str) -> dict[str, Any]:
        """An object or a list by its API path: for what is asked often, as kubectl is slow."""
        answer = self._api.get(f"https://127.0.0.1:{self.api_port}{path}", timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def send(self, verb: str, path: str, document: Mapping[str, Any] | None = None) -> None:
        """Change an object by its API path: for what is done often; a PATCH is a merge."""
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        answer = self._api.request(
            verb,
            f"https://127.0.0.1:{self.api_port}{path}",
            data=None if document is None else json.dumps(document),
            headers={"Content-Type": kind},
            timeout=60,  # of a kind that is large, on a busy machine
        )
        answer.raise_for_status()

    def watching(self, path: str, seen: Callable[[dict[str, Any]], None]) -> ObjectWatch:
        """A watch of one object, by its API path."""
        version = self.read(path)["metadata"]["resourceVersion"]
        return ObjectWatch(self._api, f"https://127.0.0.1:{self.api_port}{path}", version, seen)

    def watching_all(
        self,
        path: str,
        seen: Callable[[dict[str, Any]], None],
        gone: Callable[[dict[str, Any]], None],
    ) -> ObjectWatch:
        """A watch of all objects of a kind, by the API path of its collection."""
        version = self.read(path)["metadata"]["resourceVersion"]
        url = f"https://127.0.0.1:{self.api_port}{path}"
        return ObjectWatch(self._api, url, version, seen, all_of_kind=True, gone=gone)

    def conditions(self, *what: str) -> dict[str, str]:
        status = self.get(*what).get("status") or {}
        return {one["type"]: one["status"] for one in status.get("conditions") or []}

    def secret(self, namespace: str, name: str, files: Mapping[str, bytes]) -> None:
        """A Secret with these files."""
        data = {key: base64.b64encode(value).decode() for key, value in files.items()}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "data": data,
            }
        )

    # -- programs and files ----------------------------------------------------------------------

    def program(self, component: str, name: str) -> str:
        """Where the program of a component of `testbed/` was built."""
        return str(self._built / component / name)

    def start(
        self,
        name: str,
        command: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
    ) -> Program:
        """Start a program that ends with the bed."""
        program = Program(name, command, self.folder, environment or {})
        self.programs[name] = program
        program.start()
        if ready is not None:
            self.wait(ready, name)
        return program

    def wait(
        self,
        condition: Callable[[], object],
        what: str,
        *,
        seconds: float = READY_SECONDS,
        seen: Callable[[], str] | None = None,
    ) -> None:
        """Wait until it holds, or a program that ran has ended; a failure shows the logs.

        Args:
            condition: asked again and again.
            what: that is waited for.
            seconds: that it is waited at most.
            seen: what a failure shows too.
        """
        watched = [one for one in self.programs.values() if one.runs]

        def holds() -> bool:
            for one in watched:
                assert one.runs, f"{one.name} ended:\n{one.tail()}"
            return bool(condition())

        try:
            wait_for(holds, what, deadline_seconds=seconds)
        except BaseException:
            for one in self.programs.values():
                print(f"--- {one.name} ({one.log})\n{one.tail(12)}")  # noqa: T201 pytest shows it
            if seen is not None:
                print(seen())  # noqa: T201
            raise

    def wait_for_kinds(self) -> None:
        """Wait until every CustomResourceDefinition is served, in all of its versions.

        `kubectl wait` fails on one that was made a moment before and has no condition yet.
        """
        self.wait(self._serves_every_kind, "every CustomResourceDefinition served")

    def _serves_every_kind(self) -> bool:
        wanted: dict[str, set[str]] = {}
        for spec in (one["spec"] for one in self.read(DEFINITIONS)["items"]):
            for version in spec["versions"]:
                if version["served"]:
                    path = f"/apis/{spec['group']}/{version['name']}"
                    wanted.setdefault(path, set()).add(spec["names"]["plural"])
        try:
            return all(
                plurals <= {kind["name"] for kind in self.read(path)["resources"]}
                for path, plurals in wanted.items()
            )
        except requests.HTTPError:
            return False  # of a group that is new

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def issue(
        self,
        file: str,
        name: str,
        *,
        organization: str | None = None,
        hosts: tuple[str, ...] = LOOPBACK,
    ) -> None:
        """A certificate of the bed's authority, as `file`.crt and `file`.key."""
        pair = self.authority.sign(name, organization=organization, hosts=hosts)
        self.write(f"{file}.crt", pair.certificate)
        self.write(f"{file}.key", pair.key)

    def _stop_all(self) -> None:
        self._api.close()
        # What was started last ends first: nobody loses what it depends on.
        for program in reversed(self.programs.values()):
            program.stop()


def module(component: str, name: str) -> Path:
    """Where Go keeps the sources of a module that the bed was built from; fetched if gone."""
    command = ["go", "-C", str(MODULES / component), "mod", "download", "-json", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


def answers_ok(url: str, *, ca: str | bool = True, cert: tuple[str, str] | None = None) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, timeout=5, verify=ca, cert=cert)
        except requests.RequestException:
            return False
        return answer.status_code == requests.codes.ok
