"""The habits of kubectl that every command keeps."""

import json
import sys
from collections.abc import Iterator

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from foresail.cli import main

FILE = "tests/fixtures/clusters/device-plugin.yaml"


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


EVERY = [pytest.param(path, id=" ".join(path)) for path in commands(main)]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def options_of(path: tuple[str, ...]) -> list[click.Option]:
    command: click.Command = main
    # A command keeps the help option of its first context; one without these names has no -h.
    context = click.Context(main, **main.context_settings)
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, parent=context)
    return [one for one in command.get_params(context) if isinstance(one, click.Option)]


@pytest.mark.parametrize("path", EVERY)
def test_dash_h_shows_the_help(path: tuple[str, ...]) -> None:
    short, long = run(*path, "-h"), run(*path, "--help")
    assert short.exit_code == 0
    assert short.output == long.output


@pytest.mark.parametrize("path", EVERY)
def test_every_help_text_is_there_and_ends_its_sentence(path: tuple[str, ...]) -> None:
    command = main
    for name in path:
        command = command.commands[name]
    texts = {"the command": command.get_short_help_str(limit=999)}
    texts |= {"/".join(one.opts): one.help or "" for one in options_of(path)}
    unended = {name: text for name, text in texts.items() if not text.rstrip().endswith((".", "]"))}
    assert unended == {}


@pytest.mark.parametrize("path", EVERY)
def test_short_names_mean_the_same_everywhere(path: tuple[str, ...]) -> None:
    for option in options_of(path):
        names = set(option.opts)
        assert ("-n" in names) == ("--namespace" in names)
        assert ("-o" in names) == ("--output" in names)
        assert not names & {"--json", "--format"} or option.type.name in {"path", "file"}


def test_the_version_is_told_in_each_form() -> None:
    assert run("version").output.startswith("foresail ")
    number = run("version").output.split()[1]
    assert json.loads(run("version", "-o", "json").output) == {"version": number}
    assert yaml.safe_load(run("version", "-o", "yaml").output) == {"version": number}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_is_a_script_of_it(shell: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_FORESAIL_COMPLETE" in done.output


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("gpus", "--memory", "80"), id="gpus"),
        pytest.param(("fleet", "--file", FILE), id="fleet"),
        pytest.param(("cost", "--file", FILE), id="cost"),
        pytest.param(("advise", "--file", FILE, "--policy", "balanced"), id="advise"),
        pytest.param(("policy", "show", "balanced", "--pool", "chat"), id="policy-show"),
    ],
)
def test_yaml_says_what_json_says_in_camel_case(words: tuple[str, ...]) -> None:
    told = [run(*words, "-o", form).stdout for form in ("json", "yaml")]
    as_json, as_yaml = json.loads(told[0]), yaml.safe_load(told[1])
    assert _names(as_json) == _names(as_yaml)
    assert [name for name in _names(as_json) if "_" in name] == []


def _names(value: object) -> list[str]:
    match value:
        case dict():
            return [*map(str, value), *(name for one in value.values() for name in _names(one))]
        case list():
            return [name for one in value for name in _names(one)]
        case _:
            return []


def test_wide_cuts_nothing_to_the_terminal() -> None:
    longest = [
        max(map(len, run("fleet", "--file", FILE, "-o", form).stdout.splitlines()))
        for form in ("table", "wide")
    ]
    assert longest[0] <= 80
    assert longest[1] >= longest[0]


def test_results_go_to_stdout_and_talk_to_stderr(tmp_path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(
        "t_s,requests,prompt_tokens,output_tokens\n"
        + "".join(f"{60 * m},300,240000,60000\n" for m in range(40))
    )
    done = run("replay", str(trace), "--against", "static-mean", "-o", "json")
    assert json.loads(done.stdout)["usual"]["static-mean"]["gpuHours"] > 0
    assert "32b-fp8-h100" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("demo", "--web"), id="demo"),
        pytest.param(("controller", "--console"), id="controller"),
    ],
)
def test_without_its_extra_the_console_says_how_to_install_it(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nicegui", None)  # as if it were not installed
    done = run(*words)
    assert done.exit_code == 1
    assert "pip install 'foresail[console]'" in done.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(("demo", "--web", "--plain"), "leave out --plain", id="web-and-lines"),
        pytest.param(
            ("controller", "--console-token-file", "t"), "of no use without --console", id="token"
        ),
    ],
)
def test_options_of_the_console_that_do_not_fit_are_refused(
    words: tuple[str, ...], why: str
) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert why in done.output
