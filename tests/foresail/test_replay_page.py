"""The page of a replay: what its axes say, and that it can be read on a phone."""

import re

import pytest
from click.testing import CliRunner

from foresail.cli import main
from foresail.svg import NARROW, WIDE, Axes, Layer, Plot

BEGIN = 1_795_132_800  # 2026-11-20 00:00 UTC
GAP = range(100, 112)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("replay")
    export, plan, html = (folder / name for name in ("export.csv", "plan.yaml", "report.html"))
    rates = (18 if 60 <= minute < 90 else 9 for minute in range(150))
    export.write_text(
        "time,requests_per_second,prompt_tokens_per_second,generated_tokens_per_second\n"
        + "".join(
            f"{BEGIN + 60 * m},{r},{800 * r},{200 * r}\n"
            for m, r in enumerate(rates)
            if m not in GAP
        )
    )
    plan.write_text("gpuUsdHour: 6.88\nreplicas: {max: 4}\n")
    words = ["replay", str(export), "--plan", str(plan), "--against", "hpa-inflight,static-peak"]
    done = CliRunner().invoke(main, [*words, "--html", str(html)])
    assert done.exit_code == 0, done.output
    return html.read_text()


def test_time_is_the_traffics_own(page: str) -> None:
    # 150 minutes, of which the first 25 are the past.
    assert "time (UTC), from 2026-11-20" in page
    assert re.search(r'class="tick"[^>]*>01:00</text>', page)
    assert re.search(r"Nov 20 0[0-2]:[0-5][0-9]:[0-5][0-9]", page)  # of a decision


def test_money_capacity_seed_and_version_are_told(page: str) -> None:
    for part in ("$6.88 a GPU-hour", "a replica serves ", "<th>dollars", ", seed 1", "foresail 0."):
        assert part in page, part


def test_each_rule_has_a_plot_of_its_own_for_what_was_late(page: str) -> None:
    small = page.partition("<div class=small-multiples>")[2].partition("</div>")[0]
    rules = re.findall(r"</i>([a-z-]+), [0-9.]+% late</span></figcaption>", small)
    assert rules[0] == "foresail"
    assert set(rules) == {"foresail", "hpa-inflight", "static-peak"}
    tops = re.findall(r'class="tick"[^>]*text-anchor="end">([0-9.]+)</text>\n<text', small)
    assert len(set(tops)) <= 1  # one scale for all


def test_the_cap_is_a_line_where_it_binds(page: str) -> None:
    assert "cap: 4" in page


def test_the_reader_chooses_the_rival_and_no_script_is_needed(page: str) -> None:
    names = re.findall(r"<label><input type=radio name=rival [^>]*>([a-z-]+)</label>", page)
    assert set(names) == {"hpa-inflight", "static-peak"}
    assert page.count(" checked>") == 1
    for place, name in enumerate(names):
        chosen = page.partition(f"<div class='chosen rival{place}'>")[2].partition("</div>")[0]
        assert f"{name}: ready" in chosen
    assert "<script" not in page


def test_the_best_that_was_possible_is_a_line_beside_the_replicas(page: str) -> None:
    assert re.search(r"oracle: ready, \d+\.\d+% in time", page)
    assert page.count('<polyline class="line oracle"') >= 2


def test_minutes_that_nobody_recorded_are_blank_and_not_a_line(page: str) -> None:
    demand = page.partition("<h2>Was it foreseen?")[2].partition("<h2>")[0]
    assert "nothing recorded</span>" in demand
    wide = demand.partition("</svg>")[0]
    # 125 minutes of replay on 872 pixels, from the 25th minute on: twelve of them from the 75th.
    assert re.search(r'<rect class="gap" x="587.2" y="30" width="83.7"', wide)
    line = re.findall(r'<polyline class="line demand" points="([^"]*)"', wide)
    assert len(line) == 2
    before, after = ([float(p.split(",")[0]) for p in part.split()] for part in line)
    assert max(before) < 587.2 + 7
    assert min(after) > 587.2 + 83.7


def test_each_rule_stands_with_its_name_and_dollars_in_the_plot_of_costs(page: str) -> None:
    costs = page.partition("<h2>Cost and requests in time")[2].partition("<h2>")[0]
    assert "GPU-hours (dollars)" in costs
    for name in ("foresail", "hpa-inflight", "static-peak"):
        assert f">{name}</text>" in costs or f"{name} (" in costs, name


def test_a_phone_gets_plots_of_its_own_width(page: str) -> None:
    # Demand, replicas beside each of two rivals, and cost.
    assert page.count('<svg class="wide"') == page.count('<svg class="narrow"') == 4
    assert "max-width: 640px" in page
    assert "prefers-color-scheme: dark" in page


def test_a_narrow_plot_has_fewer_ticks_and_text_of_the_same_size() -> None:
    layer = Layer(label="a", style="ours", shape="line", xs=[0.0, 48.0], ys=[0.0, 1.0])
    axes = Axes(
        x_label="", y_label="", x_text=lambda x: f"h{x:g}", y_text=str,
        x_ticks=[float(hour) for hour in range(0, 49, 6)],
    )  # fmt: skip
    plot = Plot(title="t", axes=axes, layers=[layer])
    wide, narrow = (re.findall(r">h(\d+)<", plot.svg(sheet)) for sheet in (WIDE, NARROW))
    assert wide == ["0", "6", "12", "18", "24", "30", "36", "42", "48"]
    assert narrow == ["0", "12", "24", "36", "48"]
