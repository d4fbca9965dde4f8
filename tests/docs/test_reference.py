"""The reference tables say what the program does: the same keys, the same defaults."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from foresail.cli import main
from foresail.settings.file import Settings
from policies.policy.schema import CapacityPolicy, PoolSettings
from scaler.durations import parse_duration
from scaler.errors import MetadataError
from scaler.faults import groups_in
from scaler.sources.catalogue import shipped
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"\| `([^`]+)` \| (.+) \| (.+) \| (.+) \|")


def documented(page: str) -> dict[str, str]:
    """Key → default as written, of every table on a page."""
    text = (DOCS / page).read_text()
    return {row[1]: row[3] for line in text.splitlines() if (row := ROW.fullmatch(line))}


def leaves(group: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        key = prefix + (field.alias or name)
        inner = list(groups_in(field))
        many = "[]" if "tuple" in str(field.annotation) else ""
        for one in inner:
            yield from leaves(one, f"{key}{many}.")
        if not inner:
            yield key, field


SETTINGS = dict(leaves(Settings))
METADATA = dict(leaves(TriggerSpec))


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(documented("settings.md")) == set(SETTINGS)


def test_every_metadata_key_is_documented_and_no_other() -> None:
    assert set(documented("metadata.md")) == set(METADATA)


def test_the_reference_of_policies_is_what_the_schema_makes() -> None:
    printed = CliRunner().invoke(main, ["policy", "print", "reference"]).output

    page = DOCS / "policies-reference.md"
    assert page.read_text() == printed, f"foresail policy print reference > {page}"


def test_every_key_of_a_policy_is_documented_and_no_other() -> None:
    shown = set(documented("policies-reference.md"))
    keys = {key.replace("[].", ".") for key, _ in leaves(CapacityPolicy)}
    # A rule takes settings that are described where they stand in spec.
    again = {f"spec.rules.{key}" for key, _ in leaves(PoolSettings)}

    assert {one.replace("[].", ".") for one in shown} == keys - {
        one.replace("[].", ".") for one in again
    }


@pytest.mark.parametrize(
    ("written", "field"),
    [
        pytest.param(documented(page).get(key, "not documented"), field, id=key)
        for page, fields in (("settings.md", SETTINGS), ("metadata.md", METADATA))
        for key, field in fields.items()
    ],
)
def test_the_documented_default_is_the_one_in_force(written: str, field: FieldInfo) -> None:
    default = field.get_default(call_default_factory=True)
    match written:
        case "required":
            assert default is PydanticUndefined
        case "none":
            assert default is None or default == ()
        case quoted if quoted.startswith("`") and "`" not in quoted[1:-1]:
            value = parse_duration(yaml.safe_load(quoted.strip("`")))
            assert (list(default) if isinstance(default, tuple) else default) == value
        case _:  # words that say where the value then comes from
            assert default is None


def test_the_presets_named_are_the_ones_shipped() -> None:
    row = next(
        line for line in (DOCS / "metadata.md").read_text().splitlines() if "| `engine`" in line
    )

    assert set(re.findall("`([^`]+)`", row.rsplit("|", 2)[1])) == set(shipped())


def test_the_fault_shown_for_metadata_is_the_one_given() -> None:
    offer = AllowedOptions(
        engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
    )

    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", "leadtime": "5m", "quantile": "0.999"}, offer)

    assert f"    {raised.value}\n" in (DOCS / "metadata.md").read_text()


def test_the_faults_shown_for_settings_are_the_ones_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("foresail.yaml").write_text(
        "sources:\n  - name: main\n    prometheus:\n      url: prometheus:9090\n"
        "cycle:\n  perod: 15s\n"
    )

    result = CliRunner().invoke(main, ["check-config", "foresail.yaml"])

    shown = "".join(f"    {line}\n" for line in result.output.splitlines())
    assert shown in (DOCS / "settings.md").read_text()
