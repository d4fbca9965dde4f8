"""What leaves the repository: the wheel, the stubs, the locked requirements, and no local path."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fleet", "foresail", "policies", "replay", "scaler", "scheduler")
STUBS = sorted(
    str(path.relative_to(ROOT / "scaler" / "rpc"))
    for path in (ROOT / "scaler" / "rpc").rglob("*_pb2*")
    if path.suffix in {".py", ".pyi"}
)
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))


def listed(*paths: str) -> list[str]:
    """The repository's files, those not yet committed too, but nothing that git ignores."""
    if shutil.which("git") is None:
        pytest.skip("no git here to say which files are the repository's")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout, so nobody says which files are the repository's")
    return sorted(name for name in done.stdout.split("\0") if name and (ROOT / name).exists())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def metadata_of(wheel: zipfile.ZipFile, name: str) -> str:
    (found,) = [one for one in wheel.namelist() if one.endswith(f".dist-info/{name}")]
    return wheel.read(found).decode()


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = [name for name in wheel.namelist() if ".dist-info/" not in name]

    assert sorted(packed) == listed(*PACKAGES)
    assert {"scaler/sources/presets/vllm.yaml", "fleet/generations.yaml"} <= set(packed)


def test_the_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    entry_points = metadata_of(wheel, "entry_points.txt")

    assert entry_points.split() == ["[console_scripts]", "foresail", "=", "foresail.cli:main"]


def test_the_wheel_brings_the_licence(wheel: zipfile.ZipFile) -> None:
    assert metadata_of(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert HeaderParser().parsestr(metadata_of(wheel, "METADATA"))["License-Expression"] == (
        "Apache-2.0"
    )


def test_the_stubs_are_those_of_the_contract(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the stubs' generator is not installed")
    subprocess.run(
        ["scripts/proto.sh", sys.executable, str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=300,
    )

    made = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*_pb2*")]
    assert sorted(made) == STUBS
    for name in STUBS:
        kept = (ROOT / "scaler" / "rpc" / name).read_text()
        assert kept == (tmp_path / name).read_text(), f"{name} is stale: make proto"


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.stem)
def test_every_requirement_is_pinned_and_hashed_and_names_no_registry(path: Path) -> None:
    text = path.read_text()
    requirements = re.sub(r"\\\n\s+", " ", text).splitlines()

    assert requirements
    assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []
    assert re.findall(r"://|--index|--find-links|--trusted|@", text) == []


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=!~\[; ]", one)[0].lower() for one in project["dependencies"]}
    locked = re.findall(
        r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE
    )

    assert wanted <= set(locked)


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    local = re.compile(rb"(?<![\w.-])/(?:work|root|home)/\w")
    named = [name for name in listed() if local.search((ROOT / name).read_bytes())]

    assert named == []
