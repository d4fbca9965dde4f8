"""Where `make integration` installed a server: each in an environment of its own."""

import os
from pathlib import Path

import pytest

INSTALLED = os.environ.get("FORESAIL_INTEGRATION")


def programs_of(name: str) -> Path:
    """Folder of the programs that `requirements/integration/NAME.txt` installed; else skip."""
    assert INSTALLED is not None
    folder = Path(INSTALLED).resolve()
    if not (folder / name / ".installed").exists():
        log = folder / f"{name}.log"
        lines = log.read_text(encoding="utf-8").strip().splitlines() if log.exists() else []
        reason = lines[-1] if lines else "run `make integration` to install it"
        pytest.skip(f"{name} is not installed here: {reason}")
    return folder / name / "bin"
