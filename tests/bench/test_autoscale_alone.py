"""`bench autoscale --view out-of-the-box` and `--ablation`: the shipped rule, told a name alone."""

import json
from pathlib import Path

import pytest

from bench import autoscale
from bench._autoscale_alone import NAMED_ONLY
from bench._autoscale_parts import ABLATION
from replay.policies.variants import variant


def counted(path: Path) -> str:
    """Four quiet days in bins of ten minutes; the first third, in whole days, is the past."""
    rows = "\n".join(f"{600 * at},{600 + at % 7}" for at in range(4 * 144))
    path.write_text(f"t_s,requests\n{rows}\n")
    return str(path)


def test_each_row_is_told_when_it_is_known_and_the_oracle_is_no_dearer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    autoscale.main([
        "--view", "out-of-the-box", "--trace", counted(tmp_path / "web.csv"), "--last-days", "2",
        "--days", "0.05", "--startup", "60,300", "--replicas-mean", "2", "--replicas-max", "6",
        "--json", str(out),
    ])  # fmt: skip

    rows = json.loads(out.read_text())["rows"]
    assert [(row["startup"], row["policy"], row["days"]) for row in rows] == [
        ("60", NAMED_ONLY, 0.05),
        ("300", NAMED_ONLY, 0.05),
    ]
    assert all(row["oracle_ratio"] >= 1 and row["after_third_day"] is None for row in rows)
    assert capsys.readouterr().out.startswith("trace web, startup 60, view out-of-the-box")


def test_other_views_beside_it_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        autoscale.main(["--view", "out-of-the-box,usual"])
    assert "--view out-of-the-box stands alone" in capsys.readouterr().err


@pytest.mark.parametrize("name", ABLATION.values())
def test_each_part_switched_off_is_a_variant_that_is_told_the_name_alone(name: str) -> None:
    assert variant(name).name == name
    assert name.startswith(NAMED_ONLY)


def test_an_ablation_compares_each_part_with_the_whole(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    autoscale.main([
        "--ablation", "--trace", counted(tmp_path / "web.csv"), "--last-days", "2",
        "--days", "0.02", "--replicas-mean", "2", "--replicas-max", "6", "--json", str(out),
    ])  # fmt: skip

    told = json.loads(out.read_text())
    assert [row["removed"] for row in told["switched off"]] == list(ABLATION)
    assert told["switched off"][0]["whole_ratio"] == 1.0
