"""The console in a real browser: keyboard, narrow and dark screens, many workloads, no network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Route

from bench._console_browser import CHROMIUM, chromium, served

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: scripts/chromium.sh installs Debian's"
)
WORKLOADS = 2000
TIMEOUT_MILLISECONDS = 120_000
"""Reached on failure only."""
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(WORKLOADS, hours=0.3) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@dataclass
class Visit:
    """A page, and what it wanted of others and complained about."""

    page: Page
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector("h1, table.workloads tbody tr")
        return self.page


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    page = browser.new_page()
    yield watched(page, address)
    page.close()


def watched(page: Page, address: str) -> Visit:
    """Every request that is not the console's own is noted and fails."""
    made = Visit(page)
    page.set_default_timeout(TIMEOUT_MILLISECONDS)

    def route(one: Route) -> None:
        if one.request.url.startswith((address, "data:")):
            one.continue_()
        else:
            made.outside.append(one.request.url)
            one.abort()

    page.route("**/*", route)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on(
        "console",
        lambda said: made.complaints.append(said.text) if said.type == "error" else None,
    )
    return made


def live(page: Page) -> None:
    """Wait until the page's scripts have run and its socket is open."""
    page.wait_for_function("window.did_handshake === true")


def first_workload(page: Page) -> str:
    text = page.locator("table.workloads tbody th a").first.text_content()
    assert text is not None
    return text


def caption(page: Page) -> str:
    return page.locator("caption").text_content() or ""


def test_it_works_without_a_network_and_without_a_complaint(visit: Visit, address: str) -> None:
    page = visit.open(address)
    page.locator("table.workloads tbody th a").first.click()
    page.wait_for_selector("h1")
    live(page)
    page.wait_for_timeout(1500)  # a timer has fired

    assert visit.outside == []
    assert visit.complaints == []


def test_two_thousand_workloads_are_a_list_of_pages(visit: Visit, address: str) -> None:
    page = visit.open(address)
    live(page)  # a click before would be lost

    assert caption(page) == "2,000 workloads"
    assert page.locator("table.workloads tbody tr").count() == 25
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("document.body.textContent.includes('page 2 of 80')")


def test_a_search_finds_and_a_head_sorts(visit: Visit, address: str) -> None:
    page = visit.open(address)
    live(page)
    page.get_by_label("Search workloads").fill("llama team-01")
    page.wait_for_function("document.querySelector('caption').textContent.includes(' of 2,000')")
    page.get_by_role("button", name="demand").click()
    page.wait_for_selector("th[aria-sort=descending] button[data-sort=demand]")
    shown = page.locator("table.workloads tbody tr td:nth-child(2)").all_text_contents()
    demands = [float(one.replace(",", "")) for one in shown if one != "?"]

    assert demands == sorted(demands, reverse=True)
    assert len(demands) > 5
    assert all("team-01/llama" in one for one in page.locator("tbody th a").all_text_contents())


def test_the_page_can_be_read_before_any_script_has_run(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MILLISECONDS)
    page.goto(address)

    assert page.locator("table.workloads tbody tr").count() == 25
    assert page.locator("table.clusters tbody tr").count() == 1
    page.locator("table.workloads tbody th a").first.click()
    assert page.locator("svg.wide").count() == 2
    context.close()


def test_a_search_typed_before_the_scripts_have_loaded_is_answered(
    visit: Visit, address: str
) -> None:
    held: list[Route] = []
    visit.page.route("**/quasar.umd*", lambda one: held.append(one))  # noqa: PLW0108 - it sets attributes
    page = visit.open(address)
    page.get_by_label("Search workloads").click()
    page.keyboard.type("llama team-01")
    assert caption(page) == "2,000 workloads"
    for route in held:
        route.continue_()
    page.wait_for_function("document.querySelector('caption').textContent.includes(' of 2,000')")
    page.keyboard.type(" act")  # the focus is still in the field

    assert page.get_by_label("Search workloads").input_value() == "llama team-01 act"
    assert page.locator(".console").count() == 1
    assert page.locator("table.workloads").count() == 1


def test_a_keyboard_alone_reaches_everything(visit: Visit, address: str) -> None:
    page = visit.open(address)
    live(page)
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(document.activeElement.dataset.sort ?? document.activeElement.ariaLabel"
                " ?? document.activeElement.textContent).trim()"
            )
        )
        if page.evaluate("!!document.activeElement.closest('tbody')"):
            break
    assert {"Foresail", "Search workloads", "workload", "demand", "usd", "state"} <= set(seen)

    page.wait_for_timeout(2500)  # it was drawn again meanwhile
    assert page.evaluate("!!document.activeElement.closest('tbody')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1")
    assert page.locator("h1").text_content() == name


def test_an_open_decision_stays_open_as_the_page_is_drawn_again(visit: Visit, address: str) -> None:
    page = visit.open(f"{address}/workload/team-01/llama-70b-0001")
    live(page)
    page.locator(".decisions summary").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(3000)

    assert page.locator(".decisions details[open]").count() == 1
    assert page.locator(".decisions details[open] .steps tr").count() == 3


@pytest.mark.parametrize("path", ["/", "/workload/team-01/llama-70b-0001"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(
    browser: Browser, address: str, path: str, scheme: str
) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    page = watched(context.new_page(), address).open(f"{address}{path}")
    live(page)  # with all its styles
    page.wait_for_timeout(300)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert (
        page.evaluate(
            "[...document.querySelectorAll('.console *')].filter(one => one.checkVisibility()"
            " && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"
        )
        == []
    )
    context.close()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_text_can_be_read_in_the_light_and_in_the_dark(
    browser: Browser, address: str, scheme: str, dark: bool
) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = watched(context.new_page(), address).open(address)
    live(page)  # with all its styles
    page.wait_for_timeout(300)

    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.5) is dark
    for place in ("h2", "table.workloads th a", ".about", ".state.bad", ".tile dt"):
        ink = page.evaluate("place => getComputedStyle(document.querySelector(place)).color", place)
        assert contrast(ink, paper) >= 4.5, (place, ink, paper)
    context.close()


def luminance(color: str) -> float:
    """Relative, as WCAG has it."""
    channels = [int(one) / 255 for one in re.findall(r"\d+", color)[:3]]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_a_workload_that_is_not_known_says_so(visit: Visit, address: str) -> None:
    page = visit.open(f"{address}/workload/team-01/no-such")
    assert "no plan of this name is known here" in (page.locator(".console").text_content() or "")


def test_the_first_page_is_complete_for_a_browser_that_has_been_there(
    visit: Visit, address: str
) -> None:
    page = visit.open(address)  # fills the browser's cache
    page.goto(address, wait_until="commit")
    # `bench console` says how soon.
    page.wait_for_selector("table.clusters tbody tr")
