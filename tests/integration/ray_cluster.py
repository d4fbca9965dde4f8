"""A real Ray head with Ray Serve, on loopback, with two applications of the same model."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import requests
import yaml

from tests.integration.environments import programs_of
from tests.prometheus import free_port, wait_for

OURS, OWN = "ours", "own"
"""Applications: one that others may scale, one that Ray scales itself."""
MODEL = "Model"
"""The deployment of both."""
_START_SECONDS = 180.0
_CODE = """
from ray import serve

@serve.deployment
class Model:
    def __call__(self) -> str:
        return "yes"

app = Model.bind()
"""


class RayCluster:
    """A head node; all of its processes are in one session of the kernel's, and end with it."""

    def __init__(self, folder: Path, *, python_path: Sequence[Path] = ()) -> None:
        """Start it.

        Args:
            python_path: folders that its workers import from, too.
        """
        self._python_path = (folder, *python_path)
        self._programs = programs_of("ray")
        self._folder = folder
        self.log = folder / "log"
        # Ray's sockets lie below it, and their paths have 107 characters at most.
        self._temporary = Path(f"/tmp/ray-{os.getpid()}")  # noqa: S108 - short, and ours alone
        (folder / "served_model.py").write_text(_CODE)
        (folder / "serve.yaml").write_text(yaml.safe_dump(_config()))
        dashboard, port = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://127.0.0.1:{dashboard}"
        with self.log.open("wb") as log:
            self._head = subprocess.Popen(
                [
                    self._programs / "ray",
                    *("start", "--head", "--block", "--disable-usage-stats"),
                    *("--node-ip-address", "127.0.0.1", "--port", str(port)),
                    *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
                    *("--dashboard-agent-listen-port", str(free_port())),
                    *("--ray-client-server-port", str(free_port())),
                    # By default 10002 to 19999, where the ports above may be. 0: any free ones.
                    *("--min-worker-port", "0", "--max-worker-port", "0"),
                    *("--num-cpus", "2", "--object-store-memory", "100000000"),
                    *("--temp-dir", str(self._temporary)),
                ],
                cwd=folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        wait_for(
            lambda: self._answers("/api/version"),
            f"Ray's dashboard; see {self.log}",
            deadline_seconds=_START_SECONDS,
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program of Ray's environment, with the imports of the workers."""
        return subprocess.run(
            [self._programs / command[0], *command[1:]],
            cwd=self._folder,
            env=self._environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        )

    def deploy(self) -> None:
        """Start the applications, and wait until both run."""
        self.wait_until_up()
        subprocess.run(
            [self._programs / "serve", "deploy", "--address", self.url, "serve.yaml"],
            cwd=self._folder,
            env=self._environment(),
            check=True,
            capture_output=True,
            timeout=_START_SECONDS,
        )
        wait_for(
            lambda: {self.running(OURS), self.running(OWN)} == {1},
            f"Ray Serve's applications; see {self.log}",
            deadline_seconds=_START_SECONDS,
        )

    def running(self, application: str) -> int:
        """Replicas that run, by Ray's own answer."""
        deployments = self._applications().get(application, {}).get("deployments", {})
        replicas = deployments.get(MODEL, {}).get("replicas", [])
        return sum(one["state"] == "RUNNING" for one in replicas)

    def target(self, application: str) -> int:
        deployment = self._applications()[application]["deployments"][MODEL]
        return int(deployment["target_num_replicas"])

    def stop(self) -> None:
        """End every process of its session, and no other Ray's."""
        for pid in _of_session(self._head.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._head.wait()
        subprocess.run(["rm", "-rf", self._temporary], check=True)

    def _environment(self) -> dict[str, str]:
        ours = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return {
            **ours,
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, self._python_path)),
            "NO_PROXY": "127.0.0.1",
        }

    def _applications(self) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
        answer = requests.get(f"{self.url}/api/serve/applications/", timeout=10)
        return answer.json()["applications"]

    def _answers(self, path: str) -> bool:
        assert self._head.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}{path}", timeout=5).ok
        except requests.RequestException:
            return False


def _of_session(session: int) -> Sequence[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def _config() -> dict[str, object]:
    deployment = {"name": MODEL, "ray_actor_options": {"num_cpus": 0}}
    return {
        "proxy_location": "Disabled",
        "applications": [
            {
                "name": OURS,
                "import_path": "served_model:app",
                "route_prefix": "/ours",
                "external_scaler_enabled": True,
                "deployments": [{**deployment, "num_replicas": 1}],
            },
            {
                "name": OWN,
                "import_path": "served_model:app",
                "route_prefix": "/own",
                "deployments": [
                    {**deployment, "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}
                ],
            },
        ],
    }
