"""Every code block of the documentation is taken by a test: parsed, checked, run, or compared.

Manifests go to a real API server in tests/e2e/test_install_by_hand.py; here their fields are
looked at.
"""

import argparse
import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from bench.__main__ import names
from fleet.catalogue import shipped
from foresail.cli import main
from foresail.prices import prices_in
from foresail.replaying.plan import ReplayPlan
from scaler.errors import MetadataError
from scaler.sources.catalogue import gateways
from scaler.trigger_parsing import AllowedOptions, parse
from scaler.yaml_file import validated
from scheduler.mix_file import mix_of
from tests.deploy.schema import unknown_fields
from tests.docs.snippets import EXAMPLES, PAGES, ROOT, Kind, Snippet, inline_commands, snippets

ALL = [one for page in PAGES for one in snippets(page)]
INLINE = [(page.name, command) for page in PAGES for command in inline_commands(page)]
FORESAIL = [*((one.where, command) for one in ALL for command in one.commands()), *INLINE]
TARGETS = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
KUBECTL = frozenset(
    {
        "apply", "create", "delete", "describe", "diff", "events", "get", "logs", "patch",
        "port-forward", "rollout", "scale", "set",
    }
)  # fmt: skip
DEPLOYMENTS = {
    f"deployment/{one['metadata']['name']}"
    for file in EXAMPLES.glob("*.yaml")
    for one in yaml.safe_load_all(file.read_text())
    if one and one.get("kind") == "Deployment"
}
OFFER = AllowedOptions(
    engines={
        "vllm": False,
        "llm-d": True,
        "sglang": False,
        "litellm": True,
        "milvus": False,
        "opentelemetry": True,
    },
    gateways=frozenset(gateways()),
    sources=frozenset({"main", "gateways"}),
    default_source="main",
)


def of(kind: Kind) -> list[Any]:
    return [pytest.param(one, id=one.where) for one in ALL if one.kind is kind]


def test_every_block_says_what_it_is() -> None:
    unknown = [f"{one.where}\n{one.text}" for one in ALL if one.kind is None]

    assert unknown == [], "mark each with <!-- snippet: KIND, REASON -->; tests/docs/snippets.py"


@pytest.mark.parametrize("snippet", [*of(Kind.OUTPUT), *of(Kind.PYTHON)])
def test_an_output_says_who_compares_it_or_why_nobody_does(snippet: Snippet) -> None:
    assert snippet.reason
    for name in re.findall(r"tests/\S+\.py", snippet.reason):
        assert (ROOT / name).exists()


# Commands.


def parsed(words: list[str]) -> None:
    """Let click read a command of ours, and do nothing."""
    verb, *arguments = words
    # Under its parent: click keeps the help option that it made first, for tests of -h too.
    parent = click.Context(main, info_name="foresail", **main.context_settings)
    main.commands[verb].make_context(verb, arguments, parent=parent)


def _is_named_only(words: list[str]) -> bool:
    """`foresail serve` in a text names the verb; its options are not meant to be left out."""
    return len(words) == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(w[1:], id=f"{at} {shlex.join(w[1:])}")
        for at, w in FORESAIL
        if w[0] == "foresail"
    ],
)
def test_the_command_line_takes_every_command(words: list[str]) -> None:
    if _is_named_only(words):
        assert words[0] in main.commands
        return
    try:
        parsed(words)
    except click.UsageError as error:
        pytest.fail(error.format_message())


def test_a_command_with_an_option_that_is_not_there_is_found() -> None:
    with pytest.raises(click.UsageError):
        parsed(["explain", "llm/chat", "--sever", "http://127.0.0.1:8080"])


@pytest.mark.parametrize(
    "words", [pytest.param(w, id=f"{at} {shlex.join(w)}") for at, w in INLINE if w[0] != "foresail"]
)
def test_a_command_in_the_text_is_one_that_there_is(words: list[str]) -> None:
    if words[0] == "make":
        assert words[1] in TARGETS
    else:
        assert KUBECTL & set(words)
        assert _deployments(words) <= DEPLOYMENTS


def _deployments(words: list[str]) -> set[str]:
    return {one for one in words if one.startswith("deployment/")}


def test_a_deployment_that_no_example_has_is_found() -> None:
    words = shlex.split("kubectl -n foresail logs deployment/foresai")

    assert _deployments(words) - DEPLOYMENTS == {"deployment/foresai"}


@pytest.mark.parametrize("snippet", of(Kind.COMMANDS))
def test_other_programs_are_given_what_is_there(
    snippet: Snippet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for program, *words in snippet.commands():
        for trace in (word for word in words if re.fullmatch(r"\w+\.csv", word)):
            Path(trace).write_text(TRACE)
        match program:
            case "make":
                _make_takes(words, monkeypatch)
            case "python":
                assert words[:2] == ["-m", "bench"]
                _bench_takes(words[2:], monkeypatch)
            case "kubectl":
                assert KUBECTL & set(words)
                assert _missing(words, EXAMPLES) == []
                assert _deployments(words) <= DEPLOYMENTS
            case "helm":
                assert _helm_takes(words)
            case "docker" | "cd" | "sh":
                assert _missing(words, ROOT) == [] or _missing(words, EXAMPLES) == []


def _make_takes(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[0] in TARGETS
    if words[0] == "bench":
        _bench_takes(shlex.split(words[1].removeprefix("ARGS=")), monkeypatch)


def _helm_takes(words: list[str]) -> bool:
    """Whether the files, the chart and the values that are set are there."""
    values = yaml.safe_load((ROOT / "deploy/chart/foresail/values.yaml").read_text())
    for setting in (part for word in words if "=" in word for part in word.split(",")):
        key, found = setting.partition("=")[0].removeprefix("--set").lstrip(), values
        for name in key.split("."):
            assert name in found, f"{key} is no value of the chart"
            found = found[name]
    assert {"install", "upgrade", "rollback", "uninstall", "test", "template"} & set(words)
    return _missing(words, ROOT) == []


_MADE = {
    *("certificates/secrets.yaml", "certificates/webhook-ca.yaml"),
    *("before.yaml", "after.yaml"),
}
"""By certificates.sh (tests/deploy/test_certificates.py looks at them), and by the reader."""


def _missing(words: list[str], folder: Path) -> list[str]:
    """Files and folders that are named and are not there."""
    named = [
        word.rpartition("=")[2] for word in words if re.search(r"\.(ya?ml|sh)$|^deploy/", word)
    ]
    return [one for one in named if one not in _MADE and not (folder / one).exists()]


TRACE = "t_s,requests,prompt_tokens,output_tokens\n0,60,6000,600\n60,60,6000,600\n"


class Taken(Exception):  # noqa: N818 - it is no error
    """The arguments were understood."""


def _bench_takes(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, *arguments = words
    assert name in names()
    try:
        module = importlib.import_module(f"bench.{name}")
    except ModuleNotFoundError:
        return  # needs the bench extra

    def understand(parser: argparse.ArgumentParser, words: list[str]) -> None:
        _, unknown = parser.parse_known_args(words)
        assert unknown == []
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", understand)
    with pytest.raises(Taken):
        module.main(arguments)


# Commands that need nothing but files are run.

BY_ITSELF: Mapping[str, Callable[[list[str]], bool]] = {
    "gpus": bool,
    "claim": bool,
    "check-config": bool,
    "agent": lambda words: "--from" in words,
    "fleet": lambda words: "--file" in words,
    "cost": lambda words: "--file" in words,
}
"""Verbs, and with which arguments they need no cluster, no server and no GPU."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with the files that the commands name."""
    shutil.copy(EXAMPLES / "foresail.yaml", tmp_path)
    shutil.copy(
        ROOT / "tests" / "fixtures" / "machines" / "a100-4-pairs.json", tmp_path / "machine.json"
    )
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": {}}
    (tmp_path / "prod.json").write_text(json.dumps({"kind": "List", "items": [node]}))
    (tmp_path / "prices.yaml").write_text("h100-sxm: 2.10\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(w[1:], id=shlex.join(w[1:]))
        for _, w in {shlex.join(w): (at, w) for at, w in FORESAIL}.values()
        if w[0] == "foresail" and len(w) > 2 and BY_ITSELF.get(w[1], lambda _: False)(w[2:])
    ],
)
def test_a_command_that_needs_nothing_else_runs(folder: Path, words: list[str]) -> None:
    if "FILE" in words:
        words[words.index("FILE")] = "foresail.yaml"
    shown_as_faulty = words[0] == "check-config" and "FILE" not in words

    result = CliRunner().invoke(main, words)

    assert result.exit_code == 0 or shown_as_faulty, result.output
    assert result.output


# Files.


@pytest.mark.parametrize("snippet", of(Kind.SETTINGS))
def test_settings_are_in_order(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "foresail.yaml"
    file.write_text(whole(snippet))

    result = CliRunner().invoke(main, ["check-config", str(file)])

    assert result.exit_code == 0, result.output


def whole(snippet: Snippet) -> str:
    """The settings of a snippet, with what a part of them leaves out."""
    rest = {
        "sources:": "sources: [{name: main, prometheus: {url: 'http://prometheus:9090'}}]\n",
        "\nlisten:": "listen: {plainText: true}\n",
    }
    return snippet.text + "".join(
        text for key, text in rest.items() if key not in "\n" + snippet.text
    )


@pytest.mark.parametrize("snippet", of(Kind.MANIFEST))
def test_kubernetes_knows_every_field(snippet: Snippet) -> None:
    for document in snippet.documents():
        if "." not in document["apiVersion"].partition("/")[0]:
            assert list(unknown_fields(document, f"V1{document['kind']}")) == []


@pytest.mark.parametrize("snippet", of(Kind.MANIFEST))
def test_our_own_lint_finds_no_error(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(snippet.text)

    result = CliRunner().invoke(main, ["lint", str(file)])

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("snippet", of(Kind.MANIFEST))
def test_foresail_takes_the_metadata_of_its_triggers(snippet: Snippet) -> None:
    for document in snippet.documents():
        for trigger in triggers_of(document):
            parse(trigger["metadata"], OFFER)


def triggers_of(document: Any) -> list[Any]:
    """The triggers of a ScaledObject that are Foresail's."""
    if document["kind"] != "ScaledObject":
        return []
    return [one for one in document["spec"]["triggers"] if one["type"] == "external-push"]


def test_a_manifest_whose_trigger_has_a_misspelt_key_is_found() -> None:
    trigger = {"type": "external-push", "metadata": {"model": "m", "leadtime": "5m"}}
    (found,) = triggers_of({"kind": "ScaledObject", "spec": {"triggers": [trigger]}})

    with pytest.raises(MetadataError, match="did you mean 'leadTime'"):
        parse(found["metadata"], OFFER)


@pytest.mark.parametrize("snippet", [pytest.param(one, id=one.where) for one in ALL])
def test_a_block_is_of_the_language_that_its_fence_names(snippet: Snippet) -> None:
    match snippet.language:
        case "yaml":
            snippet.documents()
        case "json":
            json.loads(snippet.text)
        case "python":
            compile(snippet.text, snippet.where, "exec")
        case "sh":
            assert snippet.kind is Kind.COMMANDS
        case "promql":
            assert snippet.kind is Kind.PROMQL
        case other:
            assert other in {"", "text", "mermaid"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not in PATH")
@pytest.mark.parametrize("snippet", of(Kind.PROMQL))
def test_prometheus_reads_queries(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(recorded(snippet.text))

    checked = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, f"{snippet.where}: {checked.stderr}"


def recorded(query: str) -> str:
    """The rule file that records a query."""
    rule = {"record": "recorded", "expr": query}
    return yaml.safe_dump({"groups": [{"name": "query", "rules": [rule]}]})


@pytest.mark.parametrize("snippet", of(Kind.PART))
def test_a_part_of_a_file_is_in_that_file(snippet: Snippet) -> None:
    file = ROOT / snippet.reason.removeprefix("of ")
    (part,), (whole, *_) = snippet.documents(), yaml.safe_load_all(file.read_text())

    assert list(differences(part, whole)) == []


def test_the_settings_of_the_installation_are_those_of_the_example() -> None:
    shown = [
        one for one in snippets(ROOT / "docs" / "install-by-hand.md") if one.kind is Kind.SETTINGS
    ]
    (part,) = [one for snippet in shown for one in snippet.documents() if "sources" in one]

    example = yaml.safe_load((EXAMPLES / "foresail.yaml").read_text())
    assert list(differences(part, example)) == []


def differences(part: Any, whole: Any, at: str = "") -> list[str]:
    """Where a part says something else than the whole."""
    match part, whole:
        case dict(), dict():
            pairs = [(part[key], whole.get(key), f"{at}.{key}") for key in part]
        case list(), list() if len(part) == len(whole):
            pairs = [(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(part, whole, strict=True))]
        case _:
            return [] if part == whole else [f"{at}: {part!r} and {whole!r}"]
    return [fault for a, b, where in pairs for fault in differences(a, b, where)]


@pytest.mark.parametrize("snippet", of(Kind.METADATA))
def test_metadata_is_admitted(snippet: Snippet) -> None:
    pairs = yaml.load(snippet.text, yaml.BaseLoader)  # noqa: S506 - makes nothing but strings

    parse({"model": "m", **pairs}, OFFER)


@pytest.mark.parametrize("snippet", of(Kind.PLAN))
def test_a_plan_is_taken(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(snippet.text)

    assert validated(file, ReplayPlan).platform()


@pytest.mark.parametrize("snippet", of(Kind.MIX))
def test_a_mix_is_taken(snippet: Snippet) -> None:
    assert mix_of(snippet.text)


@pytest.mark.parametrize("snippet", of(Kind.PRICES))
def test_prices_are_taken(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(snippet.text)

    assert len(prices_in(file, shipped())) == len(snippet.text.splitlines())
