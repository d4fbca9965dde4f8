"""Policies of files and mounted ConfigMaps: read again when they change, kept when they break."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foresail.policy.files import PolicyFiles
from scaler.errors import ForesailError


def written(name: str, mode: str = "advise", *, pool: str | None = None) -> str:
    return (
        "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  mode: {mode}\n  pools: {{names: [{pool or name}]}}\n"
        "  idleCeiling: {usdPerHour: 1}\n"
    )


def names(files: PolicyFiles) -> list[str]:
    return [f"{one.name} {one.spec.mode}" for one in files.current()]


def mounted(folder: Path, version: str, files: dict[str, str]) -> None:
    """Swap the content of a ConfigMap's folder as the kubelet does: a link, by one rename."""
    inside = folder / version
    inside.mkdir()
    for name, text in files.items():
        (inside / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    for link in folder.glob("*.yaml"):
        if not link.exists():
            link.unlink()


def test_a_changed_file_is_in_force_at_the_next_use(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(written("a"))
    files = PolicyFiles([file])
    assert names(files) == ["a advise"]

    file.write_text(written("a", "act"))
    assert names(files) == ["a act"]


def test_a_broken_file_keeps_the_last_policies_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(written("a"))
    files = PolicyFiles([file])

    file.write_text(written("a", "actt"))
    with capture_logs() as logs:
        assert names(files) == ["a advise"]
        assert names(files) == ["a advise"]

    assert files.problem is not None
    assert f"{file}:5: spec.mode: has the value 'actt'" in files.problem
    assert [one["event"] for one in logs] == ["files_not_reloaded"]

    file.write_text(written("a", "act"))
    assert names(files) == ["a act"]
    assert files.problem is None


def test_a_mounted_configmap_is_swapped_as_a_whole(tmp_path: Path) -> None:
    mounted(tmp_path, "..1", {"a.yaml": written("a"), "b.yaml": written("b")})
    files = PolicyFiles([tmp_path])
    assert names(files) == ["a advise", "b advise"]

    mounted(tmp_path, "..2", {"b.yaml": written("b", "act"), "c.yaml": written("c")})
    assert names(files) == ["b act", "c advise"]


def test_a_file_that_comes_or_goes_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(written("a"))
    (tmp_path / "notes.txt").write_text("no policy")
    files = PolicyFiles([tmp_path])

    (tmp_path / "b.yml").write_text(written("b"))
    assert names(files) == ["a advise", "b advise"]
    (tmp_path / "a.yaml").unlink()
    assert names(files) == ["b advise"]


def test_a_new_policy_for_the_same_pools_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(written("a"))
    files = PolicyFiles([tmp_path])

    (tmp_path / "b.yaml").write_text(written("b", pool="a"))
    assert names(files) == ["a advise"]
    assert files.problem is not None
    assert "'a'" in files.problem
    assert "'b'" in files.problem


def test_an_emptied_folder_keeps_the_last_policies(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(written("a"))
    files = PolicyFiles([tmp_path])

    (tmp_path / "a.yaml").unlink()
    assert names(files) == ["a advise"]
    assert files.problem == f"{tmp_path}: no policy is there"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "policy.yaml: no such file or folder", id="no-file"),
        pytest.param("a: [", "policy.yaml:1: not YAML", id="no-yaml"),
        pytest.param("---\n", "policy.yaml: no policy is there", id="empty"),
    ],
)
def test_at_the_start_policies_must_be_in_order(
    tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ForesailError) as raised:
        PolicyFiles([file])
    assert why in str(raised.value)
