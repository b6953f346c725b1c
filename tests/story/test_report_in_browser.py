"""A reader opens the report in a browser without any network: everything is there.

Needs Chromium and its driver; without them these tests fail and say how to install them, unless
WIDTHWISE_WITHOUT_BROWSER=1 says that there is none.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "show"))

import synthetic

from widthwise.show import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PLOTS = 12


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if os.environ.get("WIDTHWISE_WITHOUT_BROWSER") == "1":
        pytest.skip("WIDTHWISE_WITHOUT_BROWSER=1")
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.fail(
            "the browser tests need Chromium and chromedriver: apt-get install chromium"
            " chromium-driver, or set WIDTHWISE_WITHOUT_BROWSER=1 to leave these tests out"
        )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.execute_cdp_cmd("Network.enable", {})
    started.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    study = synthetic.comparison(initial=4000)
    return report.write_report(study, folder / "report.html").as_uri()


def opened(browser, page: str, width: int) -> None:
    browser.get_log("performance"), browser.get_log("browser")  # forget what was before
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(page)
    end = time.monotonic() + 60
    while browser.execute_script("return document.body.dataset.drawn") != str(PLOTS):
        assert time.monotonic() < end, browser.get_log("browser")
        time.sleep(0.1)


def requests(browser) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("width", [1280, 420])
def test_every_figure_is_drawn_offline_and_fits_the_screen(browser, page, width):
    opened(browser, page, width)
    sizes = browser.execute_script(
        """return [...document.querySelectorAll(".plot")].map(plot => {
            const svg = plot.querySelector(".main-svg").getBoundingClientRect();
            const marks = plot.querySelectorAll(".trace, .bars").length;
            return [svg.width, svg.height, svg.right, marks];
        })"""
    )
    assert len(sizes) == PLOTS
    for wide, high, right, marks in sizes:
        assert wide > 250
        assert high > 250
        assert right <= width
        assert marks > 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    asked = requests(browser)
    assert page in asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert browser.get_log("browser") == []


def test_the_width_of_the_shown_networks_can_be_chosen(browser, page):
    opened(browser, page, 1280)
    shown = """return [...document.querySelectorAll(".plot[data-switched]")].map(plot =>
        plot.data.filter(t => t.meta !== undefined && t.visible === true).map(t => t.meta))"""
    assert browser.execute_script(shown) == [[32]] * 4
    browser.execute_script("document.querySelector('input[value=\"512\"]').click()")
    assert browser.execute_script(shown) == [[512]] * 4
    assert browser.get_log("browser") == []


def test_a_figure_can_be_saved(browser, page, tmp_path):
    opened(browser, page, 1280)
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    browser.execute_script("document.querySelectorAll('.save')[1].click()")
    end = time.monotonic() + 30
    while not (saved := list(tmp_path.glob("*.svg"))):
        assert time.monotonic() < end, browser.get_log("browser")
        time.sleep(0.1)
    assert "Wasserstein-1" in saved[0].read_text(encoding="utf-8")
