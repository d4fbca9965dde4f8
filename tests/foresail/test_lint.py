"""`foresail lint`: what it reads, what it prints, and the statuses."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from foresail.cli import main
from foresail.lint.command import FOUND, IN_ORDER, Format, LintOptions
from foresail.lint.command import lint as run_lint
from foresail.lint.live import PATHS
from policies.lint.finding import Severity
from policies.lint.registry import all_rules
from policies.policy.shipped_policies import NAMES, shipped_text
from scaler.errors import ForesailError
from tests.fleet.api_server import ApiServer
from tests.lint.manifests import (
    AUTHENTICATION,
    DEPLOYMENT,
    POOL,
    PROMETHEUS,
    SCALED,
    SCHEDULER,
    SERVICE,
    UP,
    edited,
)

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
WRONG = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a, namespace: llm}
spec:
  scaleTargetRef: {name: a}
  minReplicaCount: 5
  maxReplicaCount: 3
  triggers: [{type: cpu, metadata: {value: "80"}}]
"""


def lint(*arguments: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=given)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_are_in_order() -> None:
    result = lint("--fail-on", "info", str(EXAMPLES))

    assert (result.exit_code, result.output.splitlines()[-1][:9]) == (0, "in order:")


def test_the_ready_made_policies_are_in_order() -> None:
    for name in NAMES:
        result = lint("--fail-on", "info", "-", given=shipped_text(name))
        assert result.output == f"in order: 1 file, 1 object, {len(all_rules())} rules\n", name


def test_a_finding_is_told_by_file_with_its_line_and_ends_with_status_three(folder: Path) -> None:
    Path("a.yaml").write_text(WRONG)

    result = lint("a.yaml")

    assert result.exit_code == 3
    assert result.output == (
        "a.yaml\n"
        "     6  error    FS101  ScaledObject llm/a: spec.minReplicaCount is 5: above "
        "maxReplicaCount, which is 3; lower minReplicaCount or raise maxReplicaCount\n"
        "\n"
        "1 error, 0 warnings, 0 hints in 1 file, 1 object; `foresail lint --explain FS101` says "
        "why\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 0),  # a warning is no error
        (("--fail-on", "warning"), 3),
        (("--fail-on", "warning", "--disable", "FS122"), 0),
        (("--fail-on", "warning", "--disable", "fs105,fs122"), 0),
    ],
)
def test_the_status_follows_the_severity_asked_for(arguments: tuple[str, ...], status: int) -> None:
    warned = edited(PROMETHEUS, {"spec triggers 0 metadata ignoreNullValues": "true"})

    assert lint(*arguments, "-", given=yaml.safe_dump(warned)).exit_code == status


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give files or folders"),
        (("a.yaml", "--live"), "give files or folders"),
        (("a.yaml", "--context", "c"), "add --live"),
        (("-", "--node-lead-time", "soon"), "a duration such as 8m"),
        (("-", "-o", "xml"), "'xml' is not one of"),
        (("-", "--disable", "FS1O4"), "there is no rule 'FS1O4': docs/lint.md lists them"),
        (("--explain", "FS9"), "there is no rule 'FS9'"),
    ],
)
def test_wrong_usage_ends_with_status_two(arguments: tuple[str, ...], says: str) -> None:
    result = lint(*arguments)

    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"kind: A\nb: [\n---\nkind: B\n", 3, "not YAML"),
        (b"kind: \x00", 1, "control character 0x00"),
        (b"kind: A\n\xff\xfe", 2, "byte 0xff is no UTF-8 text"),
        (b"kind: {{ .Values.kind }}", 1, "a template ({{ ... }})"),
        (b"kind: x\na: " + b"[" * 100_000, 2, "not YAML"),
        (b'{"kind": "x", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}", 1, "not YAML"),
    ],
)
def test_what_cannot_be_read_is_named_and_ends_with_status_one(
    folder: Path, content: bytes, line: int, says: str
) -> None:
    Path("a.yaml").write_bytes(content)

    result = lint("a.yaml", "-o", "json")

    (found,) = json.loads(result.output)["findings"]
    assert result.exit_code == 1
    assert (found["rule"], found["file"], found["line"]) == ("FS001", "a.yaml", line)
    assert says in found["message"]


def test_a_file_that_is_too_large_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.yaml").write_bytes(b"kind: A\n#" + b"x" * (16 * 2**20))

    result = lint("a.yaml")

    assert result.exit_code == 1
    assert "larger than 16 MiB" in result.output


def test_a_folder_without_manifests_is_not_said_to_be_in_order(folder: Path) -> None:
    (folder / "empty").mkdir()

    assert lint("empty").output == "nothing was checked: 0 objects\n"


def test_a_fault_of_a_policy_names_its_field_and_value_once() -> None:
    policy = (
        "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\n"
        "metadata: {name: chat}\nspec: {forecastTrust: 80}\n"
    )

    (line,) = (one for one in lint("-", given=policy).output.splitlines() if "FS401" in one[:40])
    assert "spec.forecastTrust is 80: it takes a number from 0 to 1; see " in line


def test_a_missing_file_is_named() -> None:
    result = lint("nowhere.yaml")

    assert result.exit_code == 1
    assert "cannot be read: No such file or directory" in result.output


def test_a_folder_is_read_with_its_folders_and_without_what_is_no_manifest(folder: Path) -> None:
    for name, content in {
        "apps/a.yaml": WRONG,
        "values.yaml": "replicas: {{ not a manifest }}",
        "notes.txt": "kind: [",
        ".git/b.yaml": WRONG,
        "chart/Chart.yaml": "name: chart",
        "chart/templates/c.yaml": "kind: {{ .Values.kind }}",
        "chart/crds/d.yml": WRONG.replace("name: a", "name: d"),
    }.items():
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    result = lint(".")

    assert [line for line in result.output.splitlines() if line.endswith((".yaml", ".yml"))] == [
        "apps/a.yaml",
        "chart/crds/d.yml",
    ]
    assert "note: chart/templates: templates of a chart are not read: `helm template" in (
        result.output
    )
    assert result.exit_code == 3


def test_a_named_pipe_in_a_folder_is_not_waited_for(folder: Path) -> None:
    (folder / "a.yaml").write_text(WRONG)
    before = lint(".").output
    os.mkfifo("pipe.yaml")
    assert lint(".").output == before


def test_a_key_that_stands_twice_is_an_error(folder: Path) -> None:
    result = lint("-", given=WRONG.replace("minReplicaCount: 5", "maxReplicaCount: 9"))

    assert "     7  error    FS002  ScaledObject llm/a: key 'maxReplicaCount' is on line 6" in (
        result.output
    )


def test_lists_and_helm_output_are_read_item_by_item() -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(WRONG), POOL]}
    helm = f"---\n# Source: chart/templates/a.yaml\n{WRONG}---\n---\n{json.dumps(items)}"

    report = json.loads(lint("-", "-o", "json", given=helm).output)

    assert report["objects"] == 3
    assert [(one["rule"], one["line"]) for one in report["findings"]] == [
        ("FS101", 8),
        ("FS101", 13),
    ]


def test_a_typed_list_gives_its_items_their_kind() -> None:
    bare = {key: value for key, value in POOL.items() if key not in {"kind", "apiVersion"}}
    wrong = edited(bare, {"spec weight": 0})
    items = {"apiVersion": "karpenter.sh/v1", "kind": "NodePoolList", "items": [wrong]}

    report = json.loads(lint("-", "-o", "json", given=json.dumps(items)).output)

    assert [one["subject"] for one in report["findings"]] == ["NodePool h100"]


def test_a_configuration_in_a_configmap_has_the_lines_of_the_file() -> None:
    inner = yaml.safe_dump(edited(SCHEDULER, {"percentageOfNodesToScore": 10}), sort_keys=True)
    indented = "".join(f"    {line}\n" for line in inner.splitlines())
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: foresail}\n"
        f"data:\n  scheduler.yaml: |\n{indented}"
    )

    report = json.loads(lint("-", "-o", "json", given=text).output)

    (found,) = report["findings"]
    assert text.splitlines()[found["line"] - 1].strip() == "percentageOfNodesToScore: 10"
    assert (found["rule"], found["subject"]) == (
        "FS306",
        "KubeSchedulerConfiguration foresail/s",
    )


@pytest.mark.parametrize(
    "ignoring",
    [
        WRONG.replace("Count: 5", "Count: 5 # foresail.io/lint-ignore: FS101"),
        WRONG.replace("  minR", "  # foresail.io/lint-ignore: FS104, FS101\n  # why\n  minR"),
        WRONG.replace("llm}", "llm, annotations: {foresail.io/lint-ignore: FS101}}"),
    ],
)
def test_comments_and_annotations_ignore_a_rule(ignoring: str) -> None:
    assert lint("-", given=ignoring).exit_code == 0


def test_a_comment_ignores_its_line_alone() -> None:
    away = WRONG.replace("kind:", "# foresail.io/lint-ignore: FS101\nkind:")

    assert lint("-", given=away).exit_code == 3


def test_json_has_every_part_of_a_finding() -> None:
    report = json.loads(lint("-", "-o", "json", given=WRONG).output)

    assert report == {
        "findings": [
            {
                "rule": "FS101",
                "severity": "error",
                "subject": "ScaledObject llm/a",
                "field": "spec.minReplicaCount",
                "value": "5",
                "why": "above maxReplicaCount, which is 3",
                "do": "lower minReplicaCount or raise maxReplicaCount",
                "file": "stdin",
                "line": 6,
                "message": "ScaledObject llm/a: spec.minReplicaCount is 5: above maxReplicaCount, "
                "which is 3; lower minReplicaCount or raise maxReplicaCount",
                "docs": "docs/lint.md#fs101",
            }
        ],
        "files": 1,
        "objects": 1,
        "notes": [],
    }


def test_github_annotations_escape_what_github_would_obey(folder: Path) -> None:
    name = "a,b:100%.yaml"
    Path(name).write_text(WRONG)

    result = lint(name, "-o", "github")

    assert result.output.startswith("::error file=a%2Cb%3A100%25.yaml,line=6,title=FS101::")
    assert result.output.count("\n") == 1


def test_sarif_has_what_its_schema_requires(folder: Path) -> None:
    Path("my file.yaml").write_text(WRONG)
    Path("broken.yaml").write_text("kind: [")

    log = json.loads(lint(".", "-o", "sarif").output)

    # SARIF 2.1.0, §3.13 (log), §3.14 (run), §3.18–19 (tool), §3.27 (result), §3.49 (rule).
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "foresail lint"
    rules = {one["id"]: one for one in driver["rules"]}
    assert set(rules) == {"FS001", "FS101"}
    assert all(one["shortDescription"]["text"] for one in rules.values())
    for result in run["results"]:
        assert set(result) == {"ruleId", "ruleIndex", "level", "message", "locations"}
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert " " not in place["artifactLocation"]["uri"]
    assert [one["locations"][0]["physicalLocation"] for one in run["results"]][1] == {
        "artifactLocation": {"uri": "my%20file.yaml"},
        "region": {"startLine": 6},
    }


def test_explain_says_why_and_what_to_do() -> None:
    result = lint("--explain", "fs202")

    assert result.exit_code == 0
    assert result.output.startswith("FS202 (warning): consolidateAfter below the lead time\n")
    assert "\nfix: " in result.output
    assert "\nsource: Karpenter" in result.output


def test_a_stated_lead_time_is_held_against_pools() -> None:
    result = lint("-", "--node-lead-time", "12m", given=yaml.safe_dump(POOL))

    assert "spec.disruption.consolidateAfter is '10m': a new node takes 12m" in result.output


# -- of a cluster ---------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "prod", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    return file


async def live(kubeconfig: Path, context: str | None = None) -> tuple[dict[str, Any], int]:
    options = LintOptions(
        paths=(),
        live=True,
        context=context,
        kubeconfig=kubeconfig,
        format=Format.JSON,
        disabled=(),
        fail_on=Severity.ERROR,
        node_lead_seconds=None,
    )
    text, status = await run_lint(options)
    return json.loads(text), status


@pytest.mark.looptime(False)  # sockets live in real time
async def test_a_cluster_is_read_and_only_read(server: ApiServer, kubeconfig: Path) -> None:
    wrong = edited(SCALED, {f"{UP} selectPolicy": "Disabled"})
    server.serve("/apis/keda.sh/v1alpha1/scaledobjects", "ScaledObject", wrong)
    server.serve("/apis/keda.sh/v1alpha1/clustertriggerauthentications", "X", AUTHENTICATION)
    server.serve("/apis/apps/v1/deployments", "Deployment", DEPLOYMENT)
    server.serve("/api/v1/services", "Service", SERVICE)

    report, status = await live(kubeconfig)

    errors = [one for one in report["findings"] if one["severity"] == "error"]
    assert [(one["rule"], one["file"], one["line"]) for one in errors] == [("FS150", "prod", None)]
    assert status == FOUND
    assert {one["path"] for one in server.asked} == set(PATHS)
    assert not any("watch" in one for one in server.asked)
    # Version 0 is the server's cache, which may not have what was applied a moment ago.
    assert not any("resourceVersion" in one for one in server.asked)
    assert not any("secrets" in path or "configmaps" in path for path in PATHS)


@pytest.mark.looptime(False)
async def test_a_kind_that_may_not_be_listed_is_a_note_and_status_one(
    server: ApiServer, kubeconfig: Path
) -> None:
    server.serve("/apis/apps/v1/deployments", "Deployment", DEPLOYMENT)
    server.forbidden = {"/apis/keda.sh/v1alpha1/scaledobjects"}

    report, status = await live(kubeconfig)

    (note,) = report["notes"]
    assert "/apis/keda.sh/v1alpha1/scaledobjects: HTTP 403" in note
    assert status == 1


@pytest.mark.looptime(False)
async def test_what_may_not_be_listed_is_not_said_to_be_missing(
    server: ApiServer, kubeconfig: Path
) -> None:
    authentications = "/apis/keda.sh/v1alpha1/triggerauthentications"
    deployments = "/apis/apps/v1/deployments"
    of_replica_set = edited(
        SCALED,
        {
            "metadata name": "b",
            "spec scaleTargetRef": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b"},
            "spec triggers 0 authenticationRef": {"name": "foresail"},
        },
    )
    server.serve("/apis/keda.sh/v1alpha1/scaledobjects", "ScaledObject", SCALED, of_replica_set)
    server.serve("/apis/keda.sh/v1alpha1/clustertriggerauthentications", "X", AUTHENTICATION)

    async def told(*forbidden: str) -> list[tuple[str, str]]:
        server.forbidden = set(forbidden)
        report, _ = await live(kubeconfig)
        rules = {"FS105", "FS135"}
        return sorted(
            (one["rule"], one["subject"]) for one in report["findings"] if one["rule"] in rules
        )

    no_deployment = ("FS105", "ScaledObject llm/qwen3-32b")
    no_authentication = ("FS135", "ScaledObject llm/b")
    assert await told() == [no_deployment, no_authentication]
    assert await told(authentications) == [no_deployment]
    assert await told(authentications, deployments) == []


@pytest.mark.looptime(False)
async def test_a_cluster_without_any_of_the_kinds_is_in_order(
    server: ApiServer, kubeconfig: Path
) -> None:
    report, status = await live(kubeconfig)

    assert (report["findings"], status) == ([], IN_ORDER)


@pytest.mark.looptime(False)
async def test_a_context_that_is_not_there_is_named(kubeconfig: Path) -> None:
    with pytest.raises(ForesailError, match="no cluster to read: context 'other'"):
        await live(kubeconfig, "other")
