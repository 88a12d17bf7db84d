"""The page in a real browser: it opens without an error or a request, sorts, toggles, and fits a phone.

Needs selenium, and Chromium or Chrome with its driver (Debian: ``apt-get install chromium chromium-driver``); skipped
where one of them is missing, unless METABENCH_NEEDS_BROWSER is set.
"""

import importlib.util
import itertools
import json
import os
import shutil

import pytest

from metabench.cli.main import main

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_DRIVER = shutil.which("chromedriver")
_LACKING = [
    name
    for name, there in (
        ("selenium", importlib.util.find_spec("selenium") is not None),
        ("Chromium", _BROWSER is not None),
        ("chromedriver", _DRIVER is not None),
    )
    if not there
]
pytestmark = [
    pytest.mark.skipif(
        bool(_LACKING) and not os.environ.get("METABENCH_NEEDS_BROWSER"), reason=f"no {', no '.join(_LACKING)} here"
    ),
]

_FLAGS = (
    "--headless",
    "--no-sandbox",  # a container's root may not use it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--force-prefers-reduced-motion",  # no smooth scrolling under the pointer
)


@pytest.fixture(scope="module")
def page(tmp_path_factory, module_made_up):
    folder = module_made_up.folder(tmp_path_factory.mktemp("browser") / "run")
    (folder / module_made_up.TASKS[1] / "local-search" / "seed-000.jsonl").unlink()
    assert main(["report", str(folder)]) == 0
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(driver, page):
    """The page, freshly opened 1280 wide."""
    _resize(driver, 1280)
    driver.get_log("performance")  # forgets what the browser asked for when it started
    driver.get(page)
    assert driver.execute_script("return document.documentElement.dataset.ready") == "true"
    return driver


def _resize(driver, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _all(driver, selector):
    return driver.find_elements("css selector", selector)


def _one(driver, selector):
    return driver.find_element("css selector", selector)


def _column(driver, table, column):
    script = "return [...document.querySelectorAll(arguments[0])].map((row) => row.cells[arguments[1]].dataset.value)"
    return [float(value) for value in driver.execute_script(script, f"#{table} tbody tr", column)]


def test_it_opens_without_an_error_or_a_request(opened, page):
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent == [page]


def test_every_figure_is_drawn_and_described(opened):
    charts = _all(opened, ".chart")
    assert len(charts) == 3 + 2 + 2  # a curve a task, ranks and critical differences, means and profile
    for chart in charts:
        svg = _one(chart, "svg[role=img]")
        assert svg.get_attribute("aria-label")
        assert svg.size["height"] > 80
    assert len(_all(opened, '[data-chart="anytime"] path.curve')) == 9


def test_a_click_and_a_key_sort_the_leaderboard(opened):
    from selenium.webdriver.common.keys import Keys

    button = _one(opened, "#overall thead th:nth-child(3) button")  # mean rank
    button.click()
    assert _one(opened, "#overall thead th:nth-child(3)").get_attribute("aria-sort") == "ascending"
    ascending = _column(opened, "overall", 2)
    assert ascending == sorted(ascending)
    assert len(set(ascending)) > 1
    button.send_keys(Keys.ENTER)
    assert _one(opened, "#overall thead th:nth-child(3)").get_attribute("aria-sort") == "descending"
    assert _column(opened, "overall", 2) == ascending[::-1]
    _one(opened, "#overall thead th:nth-child(1) button").click()
    names = [row.text.strip() for row in _all(opened, "#overall tbody th")]
    assert names == sorted(names)
    assert len(_all(opened, "#overall thead th[aria-sort]")) == 1


def test_the_task_filter_hides_other_rows(opened):
    from selenium.webdriver.support.select import Select

    Select(_one(opened, "select[data-filter]")).select_by_value("cells9-v1/plains-v1")
    shown = [row for row in _all(opened, "#by-task tbody tr") if row.is_displayed()]
    assert {row.get_attribute("data-task") for row in shown} == {"cells9-v1/plains-v1"}
    assert len(shown) == 3
    assert "1 missing" in " ".join(row.text for row in shown)


def test_a_legend_button_hides_a_searcher_everywhere(opened):
    curves = '[data-chart="anytime"] g[data-searcher="random"]'
    assert len(_all(opened, curves)) == 3
    button = _one(opened, '[data-legend] button[data-searcher="random"]')
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert _all(opened, curves) == []
    assert _all(opened, '[data-chart="ranks"] g[data-searcher="random"]') == []
    assert len(_all(opened, '[data-chart="anytime"] g[data-searcher="local-search"]')) == 3
    others = _all(opened, '[data-legend] button[data-searcher="random"]')
    assert {one.get_attribute("aria-pressed") for one in others} == {"false"}
    button.click()
    assert len(_all(opened, curves)) == 3


def test_axes_and_scores_can_be_changed(opened):
    def first_curve():
        return _one(opened, '[data-chart="anytime"] path.curve').get_attribute("d")

    before = first_curve()
    _one(opened, '[data-choice="axis"] button[value="seconds"]').click()
    seconds = first_curve()
    assert seconds != before
    assert "simulated time (CPU seconds of training)" in _one(opened, '[data-chart="anytime"] svg').text
    _one(opened, '[data-choice="split"] button[value="val"]').click()
    assert "validation regret" in _one(opened, '[data-chart="anytime"] svg').text
    _one(opened, '[data-choice="axis"] button[value="evaluations"]').click()
    _one(opened, '[data-choice="split"] button[value="test"]').click()
    assert first_curve() == before
    bands = len(_all(opened, '[data-chart="anytime"] path[fill-opacity]'))
    _one(opened, '[data-choice="bands"] button').click()
    assert bands == 9
    assert _all(opened, '[data-chart="anytime"] path[fill-opacity]') == []


def test_the_theme_can_be_switched(opened):
    def paper():
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    light = paper()
    _one(opened, "#theme").click()
    dark = paper()
    assert light != dark
    _one(opened, "#theme").click()
    assert paper() == light


def test_the_system_theme_is_followed(opened, page):
    values = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        opened.get(page)
        values[scheme] = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert values["light"] != values["dark"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast(opened, page, theme):
    opened.get(f"{page}?theme={theme}")
    ratios = opened.execute_script(_CONTRAST)
    assert len(ratios) > 5
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}  # WCAG 2.2, AA


_CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (color) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = rgb(getComputedStyle(at).backgroundColor);
    if (color[3] === 255) return color;
  }
  return [255, 255, 255];
};
const found = {};
const selectors = "h1|.lead|nav a|th|td|.spread|.badge|.notes li|.heat td|summary|.eyebrow|code|.legend button";
for (const selector of selectors.split("|"))
  for (const node of document.querySelectorAll(selector)) {
    const [a, b] = [luminance(rgb(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found[selector] = Math.min(found[selector] ?? 99, ratio);
  }
return found;
"""


def test_it_fits_a_phone(opened, page):
    _resize(opened, 390)
    opened.get(page)
    width, inner = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert inner == 390
    assert width == 390  # nothing but tables scrolls sideways
    for chart in _all(opened, ".chart svg"):
        assert chart.size["width"] <= 390
    _resize(opened, 1280)
    opened.execute_script("window.dispatchEvent(new Event('resize'))")


def test_everything_can_be_reached_by_keyboard(opened):
    script = (
        "return [...document.querySelectorAll('.scroll')].filter((n) => !n.closest('details') && n.tabIndex < 0).length"
    )
    assert opened.execute_script(script) == 0  # a region that scrolls takes the focus
    script = "return [...document.querySelectorAll('button, select')].map((n) => n.textContent.trim() || n.ariaLabel)"
    assert all(opened.execute_script(script))
    headings = [int(node.tag_name[1]) for node in _all(opened, "h1, h2, h3")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_a_table_is_behind_every_figure(opened):
    for figure in _all(opened, "figure"):
        assert _all(figure, "table"), figure.text
