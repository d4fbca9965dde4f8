"""What the sources of one process share, as the settings make them."""

from pathlib import Path

from foresail.serve.wiring import Sources
from foresail.settings.file import read
from scaler.signals import Observation
from scaler.sources.otlp import OtlpSource
from scaler.sources.scrape import ScrapeSource

SETTINGS = """
cycle: {period: 20s}
limits: {seriesMebibytesMax: 7}
sources:
  - {name: pages, scrape: {urls: ['http://127.0.0.1:9/metrics'], namespaces: [llm]}}
  - {name: pushed, otlp: {http: '127.0.0.1:0', namespaces: [llm]}}
"""


async def test_sources_share_time_memory_and_threads_until_all_of_them_end(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS)
    sources = Sources.of(read(file))
    pages, pushed = sources.by_name["pages"], sources.by_name["pushed"]
    assert isinstance(pages, ScrapeSource)
    assert isinstance(pushed, OtlpSource)
    assert pages.shares is pushed.shares is sources.shares
    assert sources.shares.series.bytes_max == 7 * 2**20
    assert sources.shares.period_seconds == 20

    await pages.close()
    seen = Observation(at_seconds=0, readings={})
    assert pushed.shares.threads.submit("llm", lambda: seen).result(60) is seen
    await sources.close()
