"""Every manifest that we show or ship is what a real API server takes, field by field."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.snippets import EXAMPLES, PAGES, Kind, snippets
from tests.e2e import kinds
from tests.e2e.bed import Bed

pytestmark = pytest.mark.looptime(False)  # processes live in real time

CERT_MANAGER = "github.com/cert-manager/cert-manager@v1.21.2"
FILES = sorted(EXAMPLES.glob("*.yaml"))
MANIFESTS = [
    *(pytest.param(one.read_text(), id=one.name) for one in FILES if one.name != "foresail.yaml"),
    *(
        pytest.param(one.text, id=one.where)
        for page in PAGES
        for one in snippets(page)
        if one.kind is Kind.MANIFEST
    ),
]


@pytest.fixture(scope="module")
def strict(bed: Bed) -> Iterator[Bed]:
    """The API server, with cert-manager's kinds, ours, and the namespaces that are named."""
    command = ["go", "mod", "download", "-json", CERT_MANAGER]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=bed.folder)
    crds = sorted((Path(json.loads(done.stdout)["Dir"]) / "deploy" / "crds").glob("*.yaml"))
    kinds.serve(bed, crds)
    for name in ("foresail", "cert-manager", "eval"):
        bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    bed.apply(*kinds.definitions((EXAMPLES.parent / "crds").iterdir()))
    bed.wait_for_kinds()
    yield bed
    # First: while kinds go away, namespaces end only after minutes of retries.
    bed.kubectl("delete", "namespace", "cert-manager", "eval", "--timeout=600s")
    kinds.remove(bed, kinds.definitions(crds))


@pytest.mark.parametrize("text", MANIFESTS)
def test_the_api_server_takes_every_field(strict: Bed, text: str) -> None:
    taken(strict, text)


def test_a_field_that_the_api_server_does_not_know_is_refused(strict: Bed) -> None:
    (made,) = yaml.safe_load_all((EXAMPLES / "triggerauthentication.yaml").read_text())
    made["spec"]["secretTargetRefs"] = []

    with pytest.raises(RuntimeError, match="secretTargetRefs"):
        taken(strict, yaml.safe_dump(made))


def taken(bed: Bed, text: str) -> None:
    """As `kubectl apply` would, and nothing is kept."""
    bed.apply(*yaml.safe_load_all(text), dry=True)
