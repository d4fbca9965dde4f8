"""The documentation builds as a site, without a warning and without a network."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.docs.snippets import PAGES, ROOT

DOCS = ROOT / "docs"
STRICT = ["-W", "--keep-going", "-q", "-c", "docs"]
TEST = re.compile(r"tests/[\w/]+\.py(?:::(\w+))?")
BED = ROOT / "tests" / "e2e" / "testbed"
MODULES = {
    "k8s.io/kubernetes": "kubernetes",
    "github.com/kedacore/keda/v2": "keda",
    "sigs.k8s.io/karpenter": "karpenter",
    "sigs.k8s.io/kwok": "kwok",
    "go.etcd.io/etcd/server/v3": "etcd",
}


def built(source: Path, to: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", *STRICT, "-d", str(to / "trees"), str(source)]
    return subprocess.run(
        [*command, str(to / "site")], cwd=source, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_each_page_is_in_the_site_and_in_its_table_of_contents(site: Path) -> None:
    contents = (site / "docs" / "index.html").read_text().partition("sidebar-tree")[2]
    for page in (one for one in PAGES if one.stem != "index"):
        html = page.relative_to(ROOT).with_suffix(".html")
        assert (site / html).exists()
        to = html.relative_to("docs") if html.parts[0] == "docs" else Path("..") / html
        assert f'href="{to}"' in contents, f"{page.name}: add it to docs/index.md"


def test_the_site_opens_without_a_network(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"')
    found = {one for page in site.rglob("*.html") for one in loaded.findall(page.read_text())}
    assert found == set()
    assert "url(http" not in "".join(one.read_text() for one in site.rglob("*.css"))


def test_the_root_of_the_site_leads_to_the_documentation(site: Path) -> None:
    assert "url=docs/index.html" in (site / "index.html").read_text()


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "conf.py").write_text(
        "extensions = ['myst_parser']\nroot_doc = 'docs/index'\nmyst_heading_anchors = 4\n"
    )
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[gone](gone.md)\n")

    done = built(tmp_path, tmp_path)

    assert done.returncode != 0
    assert "docs/index.md:3" in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_test_that_a_page_names_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    for found in TEST.finditer(page.read_text()):
        file = ROOT / found[0].partition("::")[0]
        line = page.read_text()[: found.start()].count("\n") + 1
        assert file.exists(), f"{page.name}:{line}: {found[0]}"
        if found[1]:
            assert f"def {found[1]}(" in file.read_text(), f"{page.name}:{line}: {found[0]}"


class TestCompatibility:
    """Its versions are those that the tests run or read."""

    text = (DOCS / "compatibility.md").read_text()

    @pytest.mark.parametrize(("module", "folder"), MODULES.items())
    def test_programs_of_the_bed(self, module: str, folder: str) -> None:
        pinned = re.search(
            rf"^\s{re.escape(module)} v(\S+)", (BED / folder / "go.mod").read_text(), re.MULTILINE
        )
        assert pinned is not None
        assert f"| {pinned[1]} |" in self.text

    @pytest.mark.parametrize("preset", sorted((ROOT / "scaler/sources/presets").glob("*.yaml")))
    def test_engines(self, preset: Path) -> None:
        assert f"| {yaml.safe_load(preset.read_text())['read_at']} |" in self.text

    def test_python(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert f"| Python | {project['requires-python'].removeprefix('>=')} |" in self.text
