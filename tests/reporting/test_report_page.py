"""The page in a real browser: the system's Chromium, started once."""

from __future__ import annotations

import shutil

import pytest
from made_report import GAINS, MARKUP, ODD_TASK, TASKS, made

from bench.reporting.notes import belief
from bench.reporting.report.page import page as html_of

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium among the system's programs")
expect = playwright.expect
SLOW = 60_000
"""Milliseconds: a busy machine draws slowly."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file of the page, and the comparison it shows."""
    results = tmp_path_factory.mktemp("results")
    path = results / "report.html"
    comparisons, records = made(results)
    path.write_text(html_of(comparisons, records, results), "utf-8")
    return path, comparisons[0]


@pytest.fixture(scope="module")
def file(written):
    return written[0]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as program:
        flags = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
        running = program.chromium.launch(executable_path=BROWSER, args=flags)
        yield running
        running.close()


class Opened:
    """The page in a window of its own, and all it asked for and said."""

    def __init__(self, browser, file, **context):
        self.context = browser.new_context(viewport=context.pop("viewport", {"width": 1280, "height": 900}), **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW)
        self.requests, self.said = [], []
        self.page.route("**/*", self._routed)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.file = file
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-drawn]")

    def _routed(self, route):
        self.requests.append(route.request.url)
        if route.request.url == self.file.as_uri():
            route.continue_()
        else:
            route.abort()


@pytest.fixture(scope="module")
def opened(browser, file):
    return Opened(browser, file)


def names(page):
    """The strategies that the leaderboard shows, from the top."""
    rows = page.locator(".board tbody tr:visible th .name")
    return rows.all_text_contents()


def test_charts_are_drawn_and_nothing_is_asked_for_nor_complained_of(opened):
    page = opened.page
    # Cost; forests of the strategies whose gains have an interval; seeds and curves by task.
    assert page.locator(".chart svg").count() == page.locator(".chart").count() == 1 + 2 + 3 + 3
    # A point per task and a diamond; a point per run; a line per strategy, then the baseline's and the highlighted.
    assert page.locator("#c1-forest-0 .mark-symbol path").count() == len(TASKS) + 1
    assert page.locator("#c1-seeds-0 .mark-symbol path").count() == 3 * len(GAINS)
    assert page.locator("#c1-curves-0 .mark-line path").count() == len(GAINS) + 2
    assert opened.requests == [opened.file.as_uri()]
    assert opened.said == []


def test_texts_of_records_are_texts(opened):
    page = opened.page
    assert page.title().startswith("eda is better than plain distillation")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 4
    assert page.locator(".board .name", has_text=MARKUP).text_content() == MARKUP
    assert page.locator(".grid thead .sort").all_text_contents()[1:] == list(TASKS)
    checked = page.locator(".verified dd").all_text_contents()
    nothing = "against nothing but itself, or its records do not say"
    assert checked == [nothing, f"{MARKUP} equals its formula", nothing, nothing]
    assert page.locator(".failures tbody td").last.text_content() == f"it broke: {MARKUP}"
    assert page.locator(".sample ins").first.text_content() == "<b>bold</b>"
    assert page.locator(".sample del").first.text_content() == "plain"


def test_every_note_of_the_terminal_is_there_with_its_mark(opened, written):
    page = opened.page
    *notes, shared = belief(written[1])
    assert shared.startswith("the same for all rows: ")
    assert page.locator("#c1-fair .two .notes li").all_text_contents() == notes
    expect(page.locator(".kept-in-mind summary").last).to_have_text("What a score means (1) ◔")


def test_a_pair_says_its_interval_and_what_is_told_apart(opened):
    page = opened.page
    expect(page.locator("#c1-pairs .lead")).to_contain_text("▲ the row's is better, ▼ worse, 5 of 6 pairs, p")
    cell = page.locator(".pairs tbody tr").first.locator("td.worse")
    assert cell.text_content() == "▼ −5.0, 95 % interval −5.3 to −4.7, worse, p .023"
    expect(cell.locator(".within")).to_be_visible()


def test_heads_sort_and_say_so(opened):
    page = opened.page
    assert names(page) == ["none", "eda", MARKUP, "mlm"]  # by gain, and mlm's has no interval
    score = page.locator(".board thead th", has=page.get_by_role("button", name="Score", exact=True))
    expect(score).to_have_attribute("aria-sort", "none")
    score.get_by_role("button").click()
    expect(score).to_have_attribute("aria-sort", "descending")
    assert names(page) == ["eda", "mlm", "none", MARKUP]
    score.get_by_role("button").press("Enter")
    expect(score).to_have_attribute("aria-sort", "ascending")
    assert names(page) == [MARKUP, "none", "mlm", "eda"]
    # What has no gain, the baseline and what has no interval, stays last either way.
    gain = page.locator(".board").get_by_role("button", name="Gain", exact=True)
    gain.click()
    assert names(page) == ["eda", MARKUP, "none", "mlm"]
    gain.click()
    assert names(page) == [MARKUP, "eda", "none", "mlm"]
    expect(score).to_have_attribute("aria-sort", "none")


def test_the_filter_holds_for_tables_and_charts(opened):
    page = opened.page
    page.get_by_role("searchbox", name="Filter").fill("ED")
    assert names(page) == ["eda"]
    assert page.locator(".grid tbody tr:visible").count() == 1
    assert page.locator("#c1-forests .panel:visible h3").all_text_contents() == ["eda"]
    expect(page.locator(".shown")).to_have_text("1 of 4 rows")
    page.get_by_role("searchbox", name="Filter").fill("")
    page.locator("select[name=verdict]").select_option("worse")
    assert names(page) == [MARKUP]
    page.locator("select[name=verdict]").select_option("")
    expect(page.locator(".shown")).to_have_text("4 of 4 rows")


def test_one_strategy_is_highlighted_in_all_charts(opened):
    page = opened.page
    seeds = page.locator('#c1-seeds-0 .mark-symbol path[fill="var(--accent)"]')
    expect(seeds).to_have_count(3)
    page.locator(".board .name", has_text="mlm").click()
    expect(page.locator("select[name=focus]")).to_have_value("mlm")
    expect(page.locator('.board .name[aria-pressed="true"]')).to_have_text("mlm")
    page.locator("select[name=focus]").select_option("")
    expect(seeds).to_have_count(0)
    assert opened.said == []


def test_a_run_s_provenance_is_one_key_away(opened):
    page = opened.page
    page.locator('.grid tr[data-strategy="mlm"] .cell').nth(1).press("Enter")
    dialog = page.get_by_role("dialog", name="mlm on rte")
    expect(dialog).to_be_visible()
    assert dialog.locator("> div > details > summary").all_text_contents()[0].startswith("seed 0 · done · ")
    expect(dialog.get_by_text("bench run --strategy 'mlm'").first).to_be_visible()
    assert "2.9.9" in dialog.locator("> div > details").first.text_content()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator('.grid tr[data-strategy="mlm"] .cell').nth(1)).to_be_focused()


def test_every_chart_has_words_and_a_table(opened):
    page = opened.page
    assert page.locator('.chart[role="img"][aria-label]').count() == page.locator(".chart").count()
    assert page.locator("figure:has(.chart) table caption").count() == page.locator(".chart").count()
    assert page.locator("table").count() == page.locator("table > caption").count()
    expect(page.locator("#c1-forest-0")).to_have_attribute(
        "aria-label", page.locator("#c1-forests figure caption").first.text_content()
    )


def test_dark_where_the_system_is_and_where_the_reader_says(browser, file):
    dark = Opened(browser, file, color_scheme="dark")
    body, toggle = dark.page.locator("body"), dark.page.locator("#theme")
    expect(body).to_have_css("background-color", "rgb(20, 22, 24)")
    expect(dark.page.locator("#c1-forest-0 .mark-symbol path").last).to_have_css("fill", "rgb(108, 188, 240)")
    toggle.click()
    expect(body).to_have_css("background-color", "rgb(253, 253, 251)")
    expect(toggle).to_have_text("Dark")
    toggle.click()
    # Paper is light, and needs no controls.
    dark.page.emulate_media(media="print")
    expect(body).to_have_css("background-color", "rgb(253, 253, 251)")
    expect(dark.page.locator(".tools")).to_be_hidden()
    expect(dark.page.locator("#c1-forest-0 svg")).to_be_visible()
    assert dark.page.pdf(format="A4").startswith(b"%PDF")
    assert dark.said == []
    dark.context.close()


def test_a_phone_s_width_is_enough(browser, file):
    phone = Opened(browser, file, viewport={"width": 390, "height": 844})
    for table in (".board", "h1", ".tools", ".panel >> nth=0", ".two"):
        box = phone.page.locator(table).first.bounding_box()
        assert box["x"] >= 0, table
        assert box["x"] + box["width"] <= 390, table
    assert ODD_TASK in phone.page.locator(".grid thead").text_content()
    # Wide tables scroll in boxes of their own, also those that are folded up at first; the page never sideways.
    phone.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert phone.page.locator(".grid").evaluate("(table) => table.scrollWidth") > 390
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.context.close()
