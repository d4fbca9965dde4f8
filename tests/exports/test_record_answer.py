"""`scripts/record_answer.sh` finds the Prometheus that `make` fetched, or says how to get one."""

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "record_answer.sh"


def run(here: Path, python: str) -> subprocess.CompletedProcess[str]:
    """The script in a project of its own, with no Prometheus on the PATH."""
    (here / "scripts").mkdir(exist_ok=True)
    script = shutil.copy(SCRIPT, here / "scripts")
    # What every shell has, and no more.
    programs = here / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("dirname", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        if not (programs / name).exists():
            (programs / name).symlink_to(found)
    environment = {"PATH": str(programs), "PYTHON": python}
    return subprocess.run(
        ["/bin/sh", script, here / "recorded"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_without_a_prometheus_it_says_how_to_fetch_one(tmp_path: Path) -> None:
    done = run(tmp_path, "/bin/true")
    assert done.returncode == 1
    assert "no prometheus in .cache/prometheus or on the PATH: run make .cache/prom" in done.stderr


def test_the_prometheus_that_make_fetched_is_found(tmp_path: Path) -> None:
    fetched = tmp_path / ".cache" / "prometheus" / "usr" / "bin"
    fetched.mkdir(parents=True)
    for name in ("prometheus", "promtool"):
        (fetched / name).write_text("#!/bin/sh\n")
        (fetched / name).chmod(0o755)
    done = run(tmp_path, "/bin/false")
    # It goes on to the generator of the past, which here fails at once.
    assert done.returncode == 1
    assert "run make" not in done.stderr
