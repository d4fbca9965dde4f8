"""`bench autoscale`: several traces, parts removed, held-out priors, behaviors and knobs."""

import json
from pathlib import Path

import pytest

from bench import autoscale
from bench._autoscale_parts import margins
from bench._autoscale_table import Runs, Table, over_traces
from bench._report import Row
from bench.forecast import prior_without
from replay.contest import settings
from replay.simulate import Result


@pytest.fixture
def priors(tmp_path: Path) -> Path:
    for family in ("azure", "servegen", "servegen_m"):
        (tmp_path / f"{family}.npz").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("trace", "family"),
    [
        pytest.param("azure_conv_1h", "azure", id="by-its-beginning"),
        pytest.param("raw_azure_conv_2023", "azure", id="raw-requests"),
        pytest.param("servegen_m_mid_10m", "servegen_m", id="the-longest-name"),
        pytest.param("wc98_a_1m", None, id="none-there"),
    ],
)
def test_a_trace_s_prior_is_the_one_without_its_family(
    priors: Path, trace: str, family: str | None
) -> None:
    found = prior_without(trace, priors)
    assert (found.stem if found else None) == family


def test_a_trace_without_a_prior_is_not_judged_with_the_shipped_one(
    priors: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "nasa.csv"
    rows = "\n".join(f"{60 * minute},60,800,200" for minute in range(60))
    trace.write_text(f"t_s,requests,prompt_tokens,output_tokens\n{rows}\n")
    with pytest.raises(SystemExit, match=r"no prior for nasa: .*--leave-out FAMILY"):
        autoscale.main(["--trace", str(trace), "--priors", str(priors), "--policies", "hpa-kv"])


def test_the_setting_found_elsewhere_may_have_another_behavior() -> None:
    def one(knob: float, behavior: str, attainment: float, gpu_hours: float) -> Result:
        return Result(
            policy="hpa-kv", knob=knob, behavior=behavior, requests=1, attainment=attainment,
            gpu_hours=gpu_hours, ttft_p50=0, ttft_p95=0, ttft_p99=0, itl_p99=0, errors=0,
            cold_start_affected=0, actions=0, flips=0, days=(),
        )  # fmt: skip

    def runs(cheap: float) -> Runs:
        found: Runs = {}
        for knob, behavior in settings("hpa-kv", sweep=True):
            best = (knob, behavior) == (0.5, "down-2m")
            found["hpa-kv", knob, behavior] = [one(knob, behavior, 0.995, cheap if best else 90)]
        return found

    row = Table(runs(70), [1], 0.99, None).elsewhere("hpa-kv", [runs(60)])
    assert (row["knob"], row["behavior"], row["gpu_hours"]) == (0.5, "down-2m", 70)


def row_of(trace: str, policy: str, gpu_hours: float | None, attainment: float | None) -> Row:
    return {
        "trace": trace, "startup": "300", "view": "usual", "policy": policy,
        "gpu_hours": gpu_hours, "attainment": attainment,
        "oracle_ratio": None if gpu_hours is None else gpu_hours / 80,
    }  # fmt: skip


def test_a_rule_s_traces_are_one_row_with_the_mean_and_the_worst() -> None:
    rows = [row_of("a", "hpa-kv", 100.0, 0.98), row_of("b", "hpa-kv", 120.0, 0.94)]
    (row,) = over_traces(rows)
    assert (row["traces"], row["attainment_mean"], row["attainment_worst"]) == (2, 0.96, 0.94)
    assert (row["gpu_hours"], row["oracle_ratio_mean"], row["oracle_ratio_worst"]) == (
        220, 1.375, 1.5,
    )  # fmt: skip


def test_a_rule_that_gets_nowhere_on_one_trace_has_no_sum() -> None:
    (row,) = over_traces([row_of("a", "hpa-kv", 100.0, 0.99), row_of("b", "hpa-kv", None, None)])
    assert (row["traces"], row["gpu_hours"], row["attainment_worst"]) == (1, None, 0.99)


def test_a_removed_part_is_compared_with_the_whole_on_the_same_trace() -> None:
    rows = [
        row_of("a", "foresail", 100.0, 0.99), row_of("a", "foresail+hold=0s", 94.0, 0.985),
        row_of("b", "foresail", 200.0, 0.99), row_of("b", "foresail+hold=0s", None, None),
        row_of("a", "wva-queueing", 90.0, 0.99),
    ]  # fmt: skip
    assert [(row["trace"], row["removed"], row["whole_ratio"]) for row in margins(rows)] == [
        ("a", "nothing", 1.0),
        ("a", "hold", 0.94),
        ("b", "nothing", 1.0),
        ("b", "hold", None),
    ]


def test_traces_and_start_ups_are_judged_in_one_run(tmp_path: Path) -> None:
    paths = [tmp_path / "even.csv", tmp_path / "rising.csv"]
    for path, growth in zip(paths, (0, 1), strict=True):
        rows = "\n".join(f"{60 * at},{60 + growth * at},800,200" for at in range(45))
        path.write_text(f"t_s,requests,prompt_tokens,output_tokens\n{rows}\n")
    out = tmp_path / "rows.json"

    autoscale.main([
        "--trace", *map(str, paths), "--startup", "60,300", "--replicas-mean", "2",
        "--policies", "foresail,foresail+hold=0s,wva-queueing", "--view", "usual",
        "--json", str(out),
    ])  # fmt: skip

    told = json.loads(out.read_text())
    assert [(row["startup"], row["trace"], row["policy"]) for row in told["rows"]] == [
        (startup, trace, policy)
        for startup in ("60", "300")
        for trace in ("even", "rising")
        for policy in ("foresail", "foresail+hold=0s", "wva-queueing")
    ]
    assert [(row["startup"], row["traces"]) for row in told["over all traces"]] == [
        (startup, 2) for startup in ("60", "300") for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("policies", "why"),
    [
        ("foresail,foresail+holt=0s", "did you mean 'hold'"),
        ("hpa-kw", "'hpa-kw' is none of foresail"),
        ("hpa-kv+hold=0s", "only foresail has variants"),
    ],
)
def test_a_policy_that_is_none_is_refused(
    policies: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        autoscale.main(["--policies", policies])
    assert why in " ".join(capsys.readouterr().err.split())
