"""The settings file: each fault is reported with its place, its value and what is allowed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from foresail.settings.file import Settings, read
from foresail.settings.plans import PlansSettings, namespaces_by_reader
from scaler.errors import MetadataError
from scaler.yaml_file import SettingsError

MINIMAL = """\
sources:
  - name: main
    prometheus:
      url: http://prometheus:9090
"""
DURATION = "it takes a duration above 0, such as 15s or 5m"
NAME = "it takes lower-case letters, digits and dashes, at most 63"
MIAN = "5: defaultSource: no source is named 'mian': it takes one of main; did you mean 'main'?"


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "foresail.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def settings_of(folder: Path, added: str) -> Settings:
    return read(file_of(folder, MINIMAL + added))


def faults_of(folder: Path, text: str | bytes) -> list[str]:
    """`line: key: message` of each fault."""
    path = file_of(folder, text)
    with pytest.raises(SettingsError) as raised:
        read(path)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def checked(path: Path) -> Result:
    return CliRunner().invoke(main, ["check-config", str(path)])


# Faults.


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        pytest.param("cycel: {}\n", "5: cycel: unknown key; did you mean 'cycle'?", id="unknown"),
        pytest.param(
            "cycle:\n  period: 15s\n  lookmax: 3s\n",
            "7: cycle.lookmax: unknown key; did you mean 'lookMax'?",
            id="unknown-below",
        ),
        pytest.param(
            "cycle:\n  look_max: 3s\n",
            "6: cycle.look_max: unknown key; did you mean 'lookMax'?",
            id="snake-case",
        ),
        pytest.param(
            "listen: {https: '0.0.0.0:443', xyz: 1}\n",
            "5: listen.xyz: unknown key; known: grpc, http, plainText, tokenFile, tokenReview",
            id="nothing-near",
        ),
        pytest.param(
            "tls:\n  certificate: tls.crt\n",
            "5: tls.key: is missing: it takes the path of a file",
            id="missing",
        ),
        pytest.param(
            "cycle:\n  period: fast\n",
            "6: cycle.period: has the value 'fast': it takes a duration above 0, such as 15s or 5m",
            id="no-duration",
        ),
        pytest.param(
            "cycle: {lookMax: -1}\n",
            "5: cycle.lookMax: has the value -1: it takes a duration above 0, such as 15s or 5m",
            id="negative",
        ),
        pytest.param(
            "cycle: {history: .inf}\n",
            "5: cycle.history: has the value inf: it takes a duration from 0, such as 0s or 7d",
            id="endless-history",
        ),
        pytest.param(
            "limits: {objectsMax: many}\n",
            "5: limits.objectsMax: has the value 'many': it takes a whole number from 1 to 1000000",
            id="no-number",
        ),
        pytest.param(
            "limits: {objectsMax: yes}\n",
            "5: limits.objectsMax: has the value True: it takes a whole number from 1 to 1000000",
            id="yes-is-not-one",
        ),
        pytest.param(
            "state: {peers: 'foresail.foresail.svc:0'}\n",
            "5: state.peers: has the value 'foresail.foresail.svc:0': it takes host:port, such as "
            "foresail.foresail.svc.cluster.local:6500",
            id="peers-without-a-port",
        ),
        pytest.param(
            "tls: {certificate: tls.crt, key: tls.key}\nstate:\n  peers: foresail:6500\n",
            "7: state.peers: peers know each other by their certificates: give tls.clientCa too",
            id="peers-without-certificates",
        ),
        pytest.param(
            "cycle: {looksAtOnce: 2000}\n",
            "5: cycle.looksAtOnce: has the value 2000: it takes a whole number from 1 to 1000",
            id="too-many",
        ),
        pytest.param(
            "cycle: soon\n",
            "5: cycle: has the value 'soon': it takes a mapping with the keys period, step, "
            "answerMax, lookMax, looksAtOnce, history, "
            "alsoForecast",
            id="no-group",
        ),
        pytest.param(
            "listen:\n  grpc: 0.0.0.0\n",
            "6: listen.grpc: has the value '0.0.0.0': it takes host:port, such as 0.0.0.0:6500",
            id="no-port",
        ),
        pytest.param(
            "listen:\n  http: 0.0.0.0:70000\n",
            "6: listen.http: has the value '0.0.0.0:70000': it takes host:port, such as "
            "0.0.0.0:6500",
            id="port-too-high",
        ),
        pytest.param(
            "limits:\n  metadataAddresses:\n    - http://prometheus:9090\n    - 'http://'\n",
            "8: limits.metadataAddresses.1: has the value 'http://': it takes a list of http or "
            "https addresses without credentials",
            id="an-address-that-would-admit-all",
        ),
        pytest.param("1: 2\n", "5: 1: a key is a text: quote it", id="number-as-key"),
        pytest.param(
            "watch:\n  - model: m\n",
            "6: watch.0.namespace: is missing: it takes a text",
            id="watch-without-namespace",
        ),
        pytest.param(
            "watch:\n  - {namespace: llm, model: m}\n"
            "  - {namespace: llm, model: n, leadtime: 5m, quantile: 2}\n",
            "7: watch.1: key 'leadtime' (value '5m') is unknown: did you mean 'leadTime'?; "
            "key 'quantile' has the value '2': it takes a number from 0.5 to 0.995",
            id="watch-with-wrong-metadata",
        ),
        pytest.param(
            "watch:\n  - {namespace: llm, model: m, leadTime: [5]}\n",
            "6: watch.0.leadTime: it takes a text or a number",
            id="watch-with-a-list",
        ),
        pytest.param(
            "watch:\n  - {namespace: llm, model: m, mode: act}\n",
            "6: watch.0.mode: nobody asks for the answer of mode 'act': give the group "
            "externalMetrics, from which an HPA reads it, or leave mode out",
            id="watch-that-acts-for-nobody",
        ),
        pytest.param(
            "watch:\n  - {namespace: llm, model: m, otherTriggers: true}\n",
            "6: watch.0.otherTriggers: the watch list takes no otherTriggers: its models have no "
            "ScaledObject",
            id="watch-beside-other-triggers",
        ),
        pytest.param(
            "externalMetrics: {certificate: c, key: k, frontProxyCa: f}\n"
            f"watch:\n  - {{namespace: llm, model: {'m' * 64}, mode: act}}\n",
            f"7: watch.0: the name '{'m' * 64}' has 64 characters, and an HPA's selector takes at "
            "most 63: give a shorter name",
            id="watch-with-a-name-that-no-selector-takes",
        ),
        pytest.param(
            "externalMetrics: {certificate: c, key: k, frontProxyCa: f, service: foresail}\n",
            "5: externalMetrics.service: has the value 'foresail': it takes namespace/name of a "
            "Service",
            id="external-metrics-of-a-service-without-namespace",
        ),
        pytest.param(
            "watch:\n  - {namespace: llm, model: M}\n  - {namespace: llm, model: m}\n",
            "7: watch.1: two models of the watch list are named llm/m: give one a name",
            id="watch-twice",
        ),
        pytest.param(
            "tenants: [{namespaces: [a]}]\nwatch: [{namespace: llm, model: m}]\n",
            "6: watch.0: namespace 'llm' may not use this server: no entry of the operator's "
            "settings (tenants) names it",
            id="watch-in-a-namespace-without-a-rule",
        ),
    ],
)
def test_a_fault_says_line_key_value_and_what_is_allowed(
    tmp_path: Path, added: str, fault: str
) -> None:
    assert fault in faults_of(tmp_path, MINIMAL + added)


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        pytest.param(
            "cycle:\n  period: 90s\n",
            "5: cycle.step: lookMax (10 s), period (90 s) and step (60 s) must ascend",
            id="period-over-step",
        ),
        pytest.param(
            "cycle:\n  period: 5s\n  lookMax: 8s\n",
            "7: cycle.lookMax: lookMax (8 s), period (5 s) and step (60 s) must ascend",
            id="look-over-period",
        ),
        pytest.param(
            "plans:\n  readers: [{name: controller, namespaces: ['*']}]\n",
            "6: plans.readers: readers are known by their certificates: give the group tls too",
            id="readers-in-plain-text",
        ),
        pytest.param(
            "tls: {certificate: c, key: k, clientCa: a}\nplans: {}\n",
            "6: plans: readers is missing: list the names in certificates that may read plans, "
            "because the plans show the traffic of all tenants",
            id="plans-for-nobody",
        ),
        pytest.param(
            "tls: {certificate: c, key: k}\nplans:\n"
            "  readers: [{name: controller, namespaces: ['*']}]\n",
            "6: plans: readers are known by their certificates: give plans.clientCa or "
            "tls.clientCa",
            id="readers-without-a-ca",
        ),
        pytest.param(
            "tenants:\n"
            "  - {namespaces: [a]}\n"
            "  - {namespaces: ['*']}\n"
            "  - {namespaces: [a, untrusted], modes: [advise]}\n",
            "8: tenants.2.namespaces: a rule before this one names every namespace, so this one "
            "never counts",
            id="tenants-behind-everybody",
        ),
        pytest.param(
            "defaultSource: mian\n",
            MIAN,
            id="default-is-no-source",
        ),
    ],
)
def test_values_that_exclude_each_other_are_reported_where_one_must_change(
    tmp_path: Path, added: str, fault: str
) -> None:
    assert faults_of(tmp_path, MINIMAL + added) == [fault]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        pytest.param(
            "", "2: sources.0: give exactly one of prometheus, scrape, otlp", id="no-kind"
        ),
        pytest.param(
            "prometheus: {url: 'http://p'}\n    scrape: {urls: ['http://q'], namespaces: [llm]}",
            "2: sources.0: give exactly one of prometheus, scrape, otlp",
            id="two-kinds",
        ),
        pytest.param(
            "scrape: {urls: ['http://q'], dns: {host: q, port: 8000}}",
            "3: sources.0.scrape: give exactly one of urls, dns, pods",
            id="two-discoveries",
        ),
        pytest.param(
            "scrape: {dns: {host: q, port: 8000}, path: metrics, namespaces: [llm]}",
            "3: sources.0.scrape.path: has the value 'metrics': it takes a path that begins with /",
            id="path-without-slash",
        ),
        pytest.param(
            "scrape: {urls: ['http://q']}",
            "3: sources.0.scrape: namespaces is missing: pages of urls and dns do not tell tenants "
            'apart, so list the namespaces whose ScaledObjects may read them, or ["*"] for every '
            "one",
            id="urls-for-nobody",
        ),
        pytest.param(
            "scrape: {pods: {port: 8000}, namespaces: [llm]}",
            "3: sources.0.scrape.namespaces: pods are read in the trigger's own namespace only: "
            "remove namespaces",
            id="pods-have-a-namespace",
        ),
        pytest.param(
            "scrape:\n      pods: {port: 8000}\n      bearerTokenFile: t\n"
            "      basic: {username: u, passwordFile: f}",
            "6: sources.0.scrape.basic: bearerTokenFile and basic exclude each other: give one",
            id="two-identities-of-pages",
        ),
        pytest.param(
            "prometheus: {url: 'http://p', labels: {namespace: llm}}",
            "3: sources.0.prometheus.labels.namespace: 'namespace' is the namespaceLabel and comes "
            "from each trigger",
            id="namespace-as-a-label",
        ),
        pytest.param(
            "prometheus: {url: 'http://p', labels: {a-b: c}}",
            "3: sources.0.prometheus.labels.a-b: has the value 'a-b': it takes label names "
            "of letters, digits and underscores, each with a text",
            id="no-label-name",
        ),
        pytest.param(
            "prometheus: {}",
            "3: sources.0.prometheus.url: is missing: it takes an http or https address without "
            "credentials, such as http://server:9090",
            id="no-url",
        ),
        pytest.param(
            "prometheus:\n      url: http://p\n      tls: {key: k}",
            "5: sources.0.prometheus.tls.key: certificate and key go together: give both or "
            "neither",
            id="key-alone",
        ),
        pytest.param(
            "prometheus:\n      url: http://p\n      bearerTokenFile: t\n"
            "      basic: {username: u, passwordFile: f}",
            "6: sources.0.prometheus.basic: bearerTokenFile and basic exclude each other: give one",
            id="two-identities",
        ),
        pytest.param(
            "prometheus:\n      url: https://p\n      bearerTokenFile: t\n"
            "      sigv4: {region: eu-central-1}",
            "6: sources.0.prometheus.sigv4: bearerTokenFile, basic, sigv4, googleMetadata exclude "
            "each other: give one",
            id="a-token-and-a-signature",
        ),
        pytest.param(
            "prometheus:\n      url: http://p\n      googleMetadata: true",
            "4: sources.0.prometheus.url: a token of the cloud would be sent in plain text: write "
            "it with https",
            id="a-token-in-plain-text",
        ),
    ],
)
def test_a_faulty_source_is_one_fault(tmp_path: Path, source: str, fault: str) -> None:
    text = f"sources:\n  - name: main\n    {source}\n"

    assert faults_of(tmp_path, text) == [fault]


def test_the_second_of_two_sources_with_one_name_is_a_fault(tmp_path: Path) -> None:
    text = MINIMAL + "  - name: main\n    scrape: {urls: ['http://q'], namespaces: [llm]}\n"

    assert faults_of(tmp_path, text) == ["5: sources.1.name: two sources are named 'main'"]


def test_all_faults_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "listen: {grpc: x}\n" + MINIMAL + "cycle:\n  period: fast\n  stpe: 60s\n"

    assert [fault.partition(" ")[0] for fault in faults_of(tmp_path, text)] == ["1:", "7:", "8:"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(
            MINIMAL + "cycle: {period: 90s, lookMax: fast}\n",
            [
                f"5: cycle.lookMax: has the value 'fast': {DURATION}",
                "5: cycle.step: period (90 s) and step (60 s) must ascend",
            ],
            id="two-of-three-durations",
        ),
        pytest.param(
            MINIMAL + "defaultSource: mian\nlisten: {grpc: x}\n",
            [
                MIAN,
                "6: listen.grpc: has the value 'x': it takes host:port, such as 0.0.0.0:6500",
            ],
            id="another-group",
        ),
        pytest.param(
            MINIMAL
            + "  - name: main\n    scrape: {urls: ['http://q'], path: p, namespaces: [llm]}\n",
            [
                "5: sources.1.name: two sources are named 'main'",
                "6: sources.1.scrape.path: has the value 'p': it takes a path that begins with /",
            ],
            id="a-source-of-the-same-name",
        ),
        pytest.param(
            "sources:\n  - name: main\n"
            "    scrape: {urls: ['http://q'], path: p, namespaces: [llm]}\n"
            "    prometheus: {url: 'http://p', timeout: 0}\n",
            [
                "2: sources.0: give exactly one of prometheus, scrape, otlp",
                "3: sources.0.scrape.path: has the value 'p': it takes a path that begins with /",
                f"4: sources.0.prometheus.timeout: has the value 0: {DURATION}",
            ],
            id="both-of-two-that-exclude-each-other",
        ),
        pytest.param(
            "sources:\n  - name: Main\n    prometheus: {url: 'http://p'}\ndefaultSource: main\n",
            [
                f"2: sources.0.name: has the value 'Main': {NAME}",
            ],
            id="a-name-that-is-to-change-excludes-nothing",
        ),
        pytest.param(
            "sources:\n  - name: Main\n    prometheus: {url: 'http://p'}\n"
            "limits: {replicasMax: 0}\nwatch:\n"
            "  - {namespace: llm, model: m, source: main, maxReplicas: 5000}\n"
            "  - {namespace: llm}\n"
            "  - {namespace: llm, model: M, mode: act, leadtime: 5m}\n",
            [
                f"2: sources.0.name: has the value 'Main': {NAME}",
                "4: limits.replicasMax: has the value 0: it takes a whole number from 1 to 1000000",
                "7: watch.1.model: is missing: it takes a text",
                (
                    "8: watch.2.mode: nobody asks for the answer of mode 'act': give the group "
                    "externalMetrics, from which an HPA reads it, or leave mode out"
                ),
                "8: watch.2: key 'leadtime' (value '5m') is unknown: did you mean 'leadTime'?",
                "8: watch.2: two models of the watch list are named llm/m: give one a name",
            ],
            id="models-of-the-watch-list",
        ),
        pytest.param(
            MINIMAL + "tls: {certificate: 5}\nstate: {peers: 'foresail:6500', every: 0}\n",
            [
                "5: tls.certificate: has the value 5: it takes the path of a file",
                "5: tls.key: is missing: it takes the path of a file",
                f"6: state.every: has the value 0: {DURATION}",
                (
                    "6: state.peers: peers know each other by their certificates: give "
                    "tls.clientCa too"
                ),
            ],
            id="peers-in-faulty-groups",
        ),
    ],
)
def test_values_that_exclude_each_other_are_reported_beside_faulty_values(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    assert faults_of(tmp_path, text) == faults


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, MINIMAL + f"cycle: {{period: {'x' * 5000}}}\n")

    assert len(fault) < 200


# Secrets.


@pytest.mark.parametrize(
    "prometheus",
    [
        pytest.param("url: http://user:hunter2@p", id="in-the-address"),
        pytest.param("url: htp://user:hunter2@p", id="in-a-wrong-address"),
        pytest.param("url: http://p, basic: hunter2", id="in-place-of-a-group"),
        pytest.param("url: http://p, basic: {username: u, password: hunter2}", id="as-a-key"),
        pytest.param("url: http://p, bearerToken: hunter2", id="in-place-of-a-file"),
        pytest.param("url: http://p, bearerTokenFile: [hunter2]", id="in-a-list"),
        pytest.param("url: http://p, headers: hunter2", id="in-place-of-headers"),
        pytest.param("url: http://p, headers: {Authorization: [hunter2]}", id="in-a-header"),
        pytest.param("url: http://p, headers: {X-Key: 0x68756e746572}", id="as-a-number"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, prometheus: str) -> None:
    text = f"sources: [{{name: main, prometheus: {{{prometheus}}}}}]\n"

    message = "\n".join(faults_of(tmp_path, text))

    assert "hunter2" not in message
    assert str(0x68756E746572) not in message


# Files that are no settings.


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "1: sources: is missing", id="empty"),
        pytest.param("# nothing\n", "1: sources: is missing", id="only-comments"),
        pytest.param("- a\n", "1: the file must hold a mapping of settings", id="a-list"),
        pytest.param("a: [1\n", "2: not YAML: ", id="not-yaml"),
        pytest.param("a:\n\t- b\n", "2: not YAML: ", id="tab"),
        pytest.param(
            "a: 1\nb: \x01\n", "2: not YAML: it holds the control character 0x01", id="\\1"
        ),
        pytest.param("a: 1\nb: &b [*b]\n", "2: this value contains itself", id="endless"),
        pytest.param("a: !!python/name:os.system\n", "1: not YAML: ", id="python-object"),
        pytest.param(
            "a: '\\U00110000'\nb: \"\\U00110000\"\n", "2: not YAML: ", id="beyond-unicode"
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00", "1: cannot be read: not UTF-8 text", id="binary"),
        pytest.param("? [a, b]\n: 1\n", "1: a key is a text, not a list", id="a-list-as-key"),
        pytest.param("a: " + "[" * 3000 + "]" * 3000, "1: nested deeper than 64", id="brackets"),
        pytest.param("\n" + "{" * 3000, "2: nested deeper than 64 levels", id="open-braces"),
        pytest.param("- " * 3000, "1: nested deeper than 64 levels", id="dashes"),
        pytest.param(
            "".join(f"{' ' * depth}a:\n" for depth in range(500)),
            "64: nested deeper than 64 levels",
            id="indented",
        ),
    ],
)
def test_a_text_that_cannot_be_read_on_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, fault: str
) -> None:
    (message,) = faults_of(tmp_path, text)

    assert message.startswith(fault)


@pytest.mark.parametrize("text", ["a: [1\n", "a: " + "[" * 100], ids=["not-yaml", "deep"])
def test_it_is_said_that_the_rest_of_such_a_text_was_not_checked(tmp_path: Path, text: str) -> None:
    (message,) = faults_of(tmp_path, text)

    assert message.endswith("; the rest of the file is checked once this is mended")


@pytest.mark.parametrize(
    ("added", "faults"),
    [
        pytest.param(
            "cycle: {period: 5s, lookMax: 1s,\n  period: 9s,\n  lookMax: 2s}\ncycle: {}\n",
            [
                "6: key 'period' is on line 5 already",
                "7: key 'lookMax' is on line 5 already",
                "8: key 'cycle' is on line 5 already",
            ],
            id="repeated-keys",
        ),
        pytest.param(
            "cycle: {period: 2026-13-45}\n",
            ["5: cycle.period: '2026-13-45' is no value: month must be in 1..12"],
            id="no-date",
        ),
        pytest.param(
            "limits: {objectsMax: !!int x}\n",
            ["5: limits.objectsMax: 'x' is no value: invalid literal for int() with base 10: 'x'"],
            id="no-integer",
        ),
        pytest.param(
            f"limits: {{objectsMax: {'9' * 5000}}}\n",
            [f"5: limits.objectsMax: '{'9' * 80}…' is no value: too long a number"],
            id="5000-digits",
        ),
        pytest.param(
            f"limits: {{objectsMax: 0x{'f' * 5000}}}\n",
            [
                (
                    f"5: limits.objectsMax: has the value 0x{'f' * 78}…: it takes a whole number "
                    "from 1 to 1000000"
                )
            ],
            id="5000-hexadecimal-digits",
        ),
        pytest.param(
            "cycle: {period: !!timestamp x, lookMax: !!bool x}\n",
            [
                "5: cycle.lookMax: 'x' is no value: 'x'",
                "5: cycle.period: 'x' is no value: 'NoneType' object has no attribute 'groupdict'",
            ],
            id="no-value-of-its-tag",
        ),
    ],
)
def test_what_yaml_would_take_in_silence_is_told_beside_every_other_fault(
    tmp_path: Path, added: str, faults: list[str]
) -> None:
    text = MINIMAL + added + "cycel: {}\n"
    last = f"{text.count(chr(10))}: cycel: unknown key; did you mean 'cycle'?"

    assert faults_of(tmp_path, text) == [*faults, last]


@pytest.mark.parametrize("key", ["~", "true", "2026-03-03", "1", "!!bool x"])
def test_a_key_that_is_no_text_is_told_on_its_own_line(tmp_path: Path, key: str) -> None:
    faults = faults_of(tmp_path, MINIMAL + f"{key}: 2\n")

    name = key.removeprefix("!!bool ")
    assert f"5: {name}: a key is a text: quote it" in faults
    assert {fault.partition(":")[0] for fault in faults} == {"5"}


def test_a_key_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, MINIMAL + '"a\\nb\\e[31m": 1\n')

    assert fault.startswith(r"5: a\nb\x1b[31m: unknown key")


def test_a_settings_file_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="/dev/zero: cannot be read: larger than 1,048,576"):
        read(Path("/dev/zero"))


def test_a_key_merged_in_may_be_given_again(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        """\
sources:
  - name: main
    prometheus: {url: http://p, reading: &slow {window: 5m, staleAfter: 2m}}
  - name: edge
    prometheus: {url: http://q, reading: {<<: *slow, window: 90s}}
""",
    )

    edge = read(path).sources[1].prometheus
    assert edge is not None
    assert (edge.reading.window, edge.reading.stale_after) == (90, 120)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("none.yaml", "No such file or directory", id="missing"),
        pytest.param(".", "Is a directory", id="directory"),
        pytest.param("/proc/self/mem", "Input/output error", id="unreadable"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path / path)

    assert str(raised.value) == f"{tmp_path / path}: cannot be read: {reason}"


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = file_of(tmp_path, MINIMAL.encode("utf-16"))

    with pytest.raises(SettingsError, match="cannot be read: not UTF-8 text"):
        read(path)


# What is read.


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")

    assert settings.source_by_default == "main"
    assert settings.tls is None
    assert settings.listen.grpc == "0.0.0.0:6500"


def test_durations_are_read_as_people_write_them(tmp_path: Path) -> None:
    cycle = settings_of(
        tmp_path, "cycle: {lookMax: 250ms, period: 15, step: 1m30s, answerMax: '60', history: 0}"
    ).cycle

    assert (cycle.look_max, cycle.period, cycle.step, cycle.answer_max, cycle.history) == (
        0.25,
        15,
        90,
        60,
        0,
    )


def test_there_is_no_default_among_several_sources_unless_one_is_named(tmp_path: Path) -> None:
    two = "  - {name: edge, scrape: {urls: ['http://edge:8000/metrics'], namespaces: [llm]}}\n"

    assert settings_of(tmp_path, two).source_by_default is None
    assert settings_of(tmp_path, two + "defaultSource: edge\n").source_by_default == "edge"


# The command.


def test_check_config_names_the_sources_of_a_file_in_order(tmp_path: Path) -> None:
    path = file_of(tmp_path, MINIMAL + "listen: {plainText: true}\n")

    result = checked(path)

    assert (result.exit_code, result.output) == (0, f"{path}: in order; sources: main\n")


def test_check_config_refuses_plain_text_for_everybody_as_serve_does(tmp_path: Path) -> None:
    result = checked(file_of(tmp_path, MINIMAL))

    assert result.exit_code == 1
    assert "listen.grpc: 0.0.0.0:6500 is open to the network" in result.output


def test_check_config_prints_one_line_a_fault_and_ends_with_1(tmp_path: Path) -> None:
    path = file_of(tmp_path, MINIMAL + "cycel: {}\nlimits: {objectsMax: 0}\n")

    result = checked(path)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # a message, not a traceback
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{path}:5: cycel: unknown key; did you mean 'cycle'?",
        f"{path}:6: limits.objectsMax: has the value 0: it takes a whole number from 1 to 1000000",
    ]


def test_serve_refuses_the_same_file_with_the_same_words(tmp_path: Path) -> None:
    path = file_of(tmp_path, "sources: []\n")

    result = CliRunner().invoke(main, ["serve", "--config", str(path)])

    assert result.exit_code == 1
    assert result.stderr == checked(path).stderr


def test_a_model_of_the_watch_list_has_the_metadata_of_a_trigger(tmp_path: Path) -> None:
    (entry,) = settings_of(
        tmp_path,
        "watch:\n  - {namespace: llm, model: Qwen/Qwen3-32B, engine: llm-d, leadTime: 6m,\n"
        "     replicaRequests: 64, prefillShare: 0.4}\n",
    ).watch

    assert (entry.namespace, entry.name) == ("llm", "qwen-qwen3-32b")
    assert entry.metadata == {
        "model": "Qwen/Qwen3-32B",
        "engine": "llm-d",
        "leadTime": "6m",
        "replicaRequests": "64",
        "prefillShare": "0.4",
    }


def test_a_reader_that_is_listed_twice_may_read_both_lists() -> None:
    readers = [
        {"name": "a", "namespaces": ["x"]},
        {"name": "b", "namespaces": ["x", "*"]},
        {"name": "a", "namespaces": ["y"]},
    ]
    plans = PlansSettings.model_validate({"readers": readers})

    assert namespaces_by_reader(plans) == {"a": frozenset({"x", "y"}), "b": None}


def test_tenants_name_known_sources_and_each_namespace_once(tmp_path: Path) -> None:
    file = tmp_path / "foresail.yaml"
    file.write_text(
        "sources:\n  - {name: main, prometheus: {url: http://p:9090}}\n"
        "pools:\n  - {name: h100, gpus: 8}\n"
        "tenants:\n"
        "  - {namespaces: [a], sources: [mian], modes: [active]}\n"
        "  - {namespaces: [b], sources: [mian], pools: [h10]}\n"
        "  - {namespaces: [a, b], priorityMax: 0.5}\n"
        "  - {namespaces: [b]}\n"
    )

    with pytest.raises(SettingsError) as raised:
        read(file)

    faults = str(raised.value).splitlines()
    assert any("tenants.0.modes" in fault and "'active'" in fault for fault in faults)
    assert any("tenants.1.sources: no source is named 'mian'" in fault for fault in faults)
    assert any("tenants.1.pools: no pool is named 'h10'" in fault for fault in faults)
    assert any("tenants.2.priorityMax" in fault for fault in faults)
    assert any("tenants.3.namespaces: namespace 'b' is named" in fault for fault in faults)


def test_tenants_have_no_pool_and_a_priority_of_1_unless_their_rule_says_more(
    tmp_path: Path,
) -> None:
    file = tmp_path / "foresail.yaml"
    file.write_text(
        "sources:\n  - {name: main, prometheus: {url: http://p:9090}}\n"
        "pools:\n  - {name: h100, gpus: 8}\n"
        "tenants:\n"
        "  - {namespaces: [a], pools: [h100]}\n"
        "  - {namespaces: [b], pools: [h100], priorityMax: 5}\n"
        "  - {namespaces: ['*']}\n"
    )
    rules = read(file).tenant_rules

    def admitted(namespace: str, priority: str) -> bool:
        metadata = {"model": "m", "pool": "h100", "priority": priority}
        try:
            rules.admit(namespace, metadata)
        except MetadataError:
            return False
        return True

    assert [admitted(namespace, "1") for namespace in "abc"] == [True, True, False]
    assert [admitted("a", "1.5"), admitted("b", "5"), admitted("b", "6")] == [False, True, False]
