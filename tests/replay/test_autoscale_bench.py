"""`bench autoscale`: priors that have not seen the family, HPA behaviors chosen with the knobs."""

from pathlib import Path

import pytest

from bench import autoscale
from bench._autoscale_table import Runs, Table
from bench.forecast import prior_without
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
        for knob, behavior in autoscale.settings("hpa-kv", sweep=True):
            best = (knob, behavior) == (0.5, "down-2m")
            found["hpa-kv", knob, behavior] = [one(knob, behavior, 0.995, cheap if best else 90)]
        return found

    row = Table(runs(70), [1], 0.99, None).elsewhere("hpa-kv", [runs(60)])
    assert (row["knob"], row["behavior"], row["gpu_hours"]) == (0.5, "down-2m", 70)
