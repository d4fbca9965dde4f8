"""The documents give the figures of common queries that are in force."""

import re
from pathlib import Path

import pytest

from scaler.sources.catalogue import load
from scaler.sources.prometheus_feed import FEEDS_MAX, HALVED_SECONDS, SAMPLES_MAX, WELL_LOOKS
from scaler.sources.reading import Limits
from tests.sources.pages import samples_on

ROOT = Path(__file__).parents[2]
WORDS = {4: "four", 10: "ten"}
FEEDS = WORDS[FEEDS_MAX]
MINUTES = WORDS[round(HALVED_SECONDS / 60)]
SCRAPE_SECONDS = 15


def replicas_of_a_full_answer() -> int:
    page = (ROOT / "tests" / "fixtures" / "vllm_0.33.0.prom").read_text()
    series = len(samples_on(page, load("vllm"), at_seconds=0))
    return int(SAMPLES_MAX / (series * Limits().keep_seconds / SCRAPE_SECONDS))


REPLICAS = f"{replicas_of_a_full_answer()} replicas"
SCRAPED = f"scraped every {SCRAPE_SECONDS} s"


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("docs/integrations/prometheus.md", f"one query for up to {FEEDS} workloads and look"),
        (
            "docs/integrations/prometheus.md",
            f"together more than {SAMPLES_MAX:,} samples: {REPLICAS} of vLLM, {SCRAPED}",
        ),
        ("docs/integrations/prometheus.md", f"until it was well {WORDS[WELL_LOOKS]} times"),
        ("docs/integrations/prometheus.md", f"refuses several twice in {MINUTES} minutes"),
        ("docs/integrations/prometheus.md", f"after {MINUTES} minutes twice as many again"),
        ("docs/limits.md", f"| {FEEDS_MAX}, and {SAMPLES_MAX:,} samples by their last answers |"),
        ("docs/sizing.md", f"queries to Prometheus, {FEEDS} workloads or more in each namespace"),
        ("docs/sizing.md", f"one for {FEEDS} looks"),
        ("CHANGELOG.md", f"Up to {FEEDS} workloads of a namespace that differ only in the model"),
        (
            "scaler/sources/prometheus_feed.py",
            f"{REPLICAS} of vLLM have as many, if they are {SCRAPED}",
        ),
    ],
)
def test_a_figure_of_common_queries_is_the_one_in_force(page: str, sentence: str) -> None:
    text = re.sub(r"\s+", " ", (ROOT / page).read_text())
    assert sentence in text
