"""A kubelet for hooks: pods run in imagination, and a hook's command must be run for real."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.chart.helm import RELEASE
from tests.prometheus import wait_for

WITHDRAW: Final = "foresail-withdraw"
DELAYED: Final = (
    "--set-string",
    r"controller.podAnnotations.pod-complete\.stage\.kwok\.x-k8s\.io/delay=1h",
)
"""For helm: the hook's pod does not end by itself."""
_JOB_SECONDS: Final = 120.0
_COMPONENTS: Final = "app.kubernetes.io/component in (withdraw, withdraw-levers)"


@contextmanager
def withdrawn_for_real(bed: Bed) -> Iterator[None]:
    """Inside, the pod of the hook's Job runs its command under its account, and ends with it."""
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(_run, bed)
        yield
        run.result()


def _run(bed: Bed) -> None:
    path = f"/api/v1/namespaces/{RELEASE}/pods?labelSelector={_COMPONENTS}"

    def running() -> list[str]:
        return [
            one["metadata"]["name"]
            for one in bed.read(path)["items"]
            if one["status"].get("phase") == "Running"
        ]

    wait_for(running, "the hook's pod", deadline_seconds=_JOB_SECONDS)
    (name,) = running()
    spec = bed.read(f"/api/v1/namespaces/{RELEASE}/pods/{name}")["spec"]
    account = spec["serviceAccountName"]
    kubernetes.add_user(bed, WITHDRAW, f"system:serviceaccount:{RELEASE}:{account}")
    (container,) = spec["containers"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "foresail.cli", *container["args"]),
            f"--kubeconfig={bed.kubeconfig(WITHDRAW)}",
        ],
        env={**os.environ, "POD_NAMESPACE": RELEASE},
        capture_output=True,
        text=True,
        check=False,
        timeout=_JOB_SECONDS,
    )
    (bed.folder / "withdraw.log").write_text(done.stderr + done.stdout)
    phase = "Succeeded" if done.returncode == 0 else "Failed"
    conditions = [{"type": "Ready", "status": "False", "reason": "PodCompleted"}]
    bed.send(
        "PATCH",
        f"/api/v1/namespaces/{RELEASE}/pods/{name}/status",
        {"status": {"phase": phase, "conditions": conditions}},
    )
    assert done.returncode == 0, done.stderr
