"""The Helm chart, by the real helm; without a bed where rendering is enough.

* `helm`: the program, with a home of its own.
* `rendered`: the objects of each values file in the chart's `ci` folder.
"""

from pathlib import Path

import pytest

from tests.e2e.chart.helm import Helm
from tests.e2e.conftest import BUILT

collect_ignore_glob = [] if BUILT else ["test_*.py"]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    assert BUILT is not None
    return Helm(Path(BUILT).resolve() / "helm" / "helm", tmp_path_factory.mktemp("helm"))
