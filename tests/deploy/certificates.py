"""What certificates.sh of the examples makes, in a folder of a test's own."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.examples import FOLDER

SERVICE: Final = "foresail.foresail.svc.cluster.local"
"""As every trigger's scalerAddress has it."""


def made(folder: Path) -> Path:
    """Run the script in `folder`; where it left its files."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here, which is all that certificates.sh needs")
    subprocess.run(["sh", FOLDER / "certificates.sh"], cwd=folder, check=True, capture_output=True)
    return folder / "certificates"
