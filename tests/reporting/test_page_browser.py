"""report.html in a real browser: sorting, sound, console, network, phone."""

import json
import shutil
import subprocess
import sys
import time

import page_content
import pytest
from page_content import EXAMPLES
from recipe import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DECODE = """
const [player, done] = arguments;
const bytes = Uint8Array.from(atob(player.src.split(",")[1]), c => c.charCodeAt(0));
new OfflineAudioContext(1, 1, 8000).decodeAudioData(bytes.buffer).then(
  sound => done(sound.duration), error => done(String(error)));
"""
READY = """
const done = arguments[0], players = [...document.querySelectorAll("audio")];
for (const player of players) { player.preload = "auto"; player.load(); }
const wait = () => players.every(p => p.error || p.readyState === 4)
  ? done(players.map(p => [p.duration, +p.dataset.seconds, p.error && p.error.message]))
  : setTimeout(wait, 20);
wait();
"""
FIRST_BODY = "return [...document.querySelector('table').tBodies[0].rows].map("


def start_browser():
    """Headless Chromium that logs its console and its requests."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed"
    )
    from selenium.webdriver.chrome.service import Service

    driver = shutil.which("chromedriver")
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not (driver and binary):
        pytest.skip("no Chromium with chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    return webdriver.Chrome(service=Service(driver), options=options)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Has the page open."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    page_content.write(path)
    driver = start_browser()
    try:
        driver.address = path.as_uri()
        driver.get(driver.address)
        yield driver
    finally:
        driver.quit()


def numbers(browser, column):
    """What the rows of the summary are sorted by; None for an empty cell."""
    values = browser.execute_script(
        f"{FIRST_BODY}row => row.cells[{column}].dataset.value)"
    )
    return [float(value) if value else None for value in values]


@pytest.mark.parametrize("key", ["click", "enter", "space"])
def test_table_sorts_by_numbers_with_mouse_and_keyboard(browser, key):
    browser.get(browser.address)
    header = browser.find_elements("css selector", "thead th")[4]
    button = header.find_element("css selector", "button")
    assert button.text.startswith("SI-SDR")
    press = {
        "click": button.click,
        "enter": lambda: button.send_keys("\ue007"),
        "space": lambda: button.send_keys(" "),
    }[key]
    *known, empty = numbers(browser, 4)
    assert empty is None and known != sorted(known)
    press()
    assert header.get_attribute("aria-sort") == "ascending"
    assert numbers(browser, 4) == [*sorted(known), None]
    press()
    assert header.get_attribute("aria-sort") == "descending"
    assert numbers(browser, 4) == [*sorted(known, reverse=True), None]


def test_table_sorts_by_words_and_keeps_the_means_below(browser):
    browser.find_element("css selector", "thead button").click()
    names = browser.execute_script(
        "return [...document.querySelector('table').querySelectorAll("
        "'tbody th')].map(cell => cell.dataset.value)"
    )
    assert names == ["C", "R", "SE", "SER", "macro mean", "micro mean"]
    sorted_by = browser.find_elements("css selector", "[aria-sort]")
    assert len(sorted_by) == 1


def test_every_player_has_its_whole_sound(browser):
    found = browser.execute_async_script(READY)
    expected = [seconds for e in EXAMPLES for seconds in [seconds_of(e)] * 3]
    assert len(found) == len(expected) == 18
    players = browser.find_elements("css selector", "audio")
    for (duration, stated, error), seconds, player in zip(
        found, expected, players
    ):
        assert error is None
        assert duration == pytest.approx(seconds, abs=0.01)
        assert stated == pytest.approx(seconds, abs=0.01)
        decoded = browser.execute_async_script(DECODE, player)
        assert decoded == pytest.approx(seconds, abs=0.01)
        assert player.get_attribute("aria-label")


def seconds_of(example):
    """Length of an example."""
    return example["signals"][0]["seconds"]


def test_a_click_into_a_spectrogram_plays_from_there(browser):
    plots = browser.find_elements("css selector", ".spectrogram")
    for plot in plots[:2]:
        plot.click()
    playing = "return [...document.querySelectorAll('audio')].map(p => {0})"
    times = browser.execute_script(playing.format("p.currentTime"))
    assert times[0] >= 0.7 and times[1] >= 0.7 and not any(times[2:])
    # The second one stops the first, once the browser says that it plays.
    give_up = time.monotonic() + 10
    while not browser.execute_script(playing.format("p.paused"))[0]:
        assert time.monotonic() < give_up


def test_every_picture_is_shown(browser):
    sizes = browser.execute_script(
        "return [...document.images].map(i => i.naturalWidth)"
    )
    assert len(sizes) == 18 + 3 and all(sizes)


def test_screenshot_is_small_enough_for_a_readme(browser, tmp_path):
    report, picture = tmp_path / "report.html", tmp_path / "report.png"
    page_content.write(report)
    subprocess.run(
        [sys.executable, ROOT / "tools/screenshot.py", report, picture],
        check=True,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 500_000


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_never_wider_than_the_screen(browser, width, scheme):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [feature]}
    )
    browser.get(browser.address)
    shown = "return document.documentElement.scrollWidth"
    opened = "document.querySelectorAll('details').forEach(d => d.open = true);"
    assert browser.execute_script(opened + shown) <= width


def test_console_is_silent_and_nothing_is_fetched(browser):
    """Over all that the tests above did."""
    errors = [
        entry
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE"
    ]
    assert errors == []
    events = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert asked and all(url.startswith(("data:", "file:")) for url in asked)
