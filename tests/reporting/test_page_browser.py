"""report.html in a real browser: sorting, sound, console, network, phone."""

import json
import runpy
import shutil
import time

import pytest
from page_content import make_page
from recipe import ROOT

pytestmark = pytest.mark.nightly
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Duration and error of each sound as a player has it, and as it is decoded.
SOUNDS = """
const done = arguments[0], players = [...document.querySelectorAll("audio")];
const bytes = p => Uint8Array.from(atob(p.src.split(",")[1]), c => c.charCodeAt(0));
const decode = p => new OfflineAudioContext(1, 1, 8000).decodeAudioData(bytes(p).buffer);
for (const player of players) { player.preload = "auto"; player.load(); }
const wait = () => players.every(p => p.error || p.readyState === 4)
  ? Promise.all(players.map(decode)).then(sounds => done(players.map((p, i) =>
      [p.duration, +p.dataset.seconds, sounds[i].duration])), error => done(String(error)))
  : setTimeout(wait, 20);
wait();
"""
PLAYERS = "return [...document.querySelectorAll('audio')].map(p => p.{})"
COLUMN = """
return [...document.querySelector("table").querySelectorAll("tbody tr")].map(
  row => row.cells[arguments[0]].dataset.value)
"""


@pytest.fixture(scope="module")
def driver():
    """Headless Chromium that logs its console and its requests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    driver = shutil.which("chromedriver")
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not (driver and binary):
        pytest.fail(
            "The page is tested in Chromium with chromedriver; install them, "
            "for instance: sudo apt install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    with webdriver.Chrome(service=Service(driver), options=options) as driver:
        yield driver


@pytest.fixture
def browser(driver, once):
    """Opens the page; it logs no error in the test, and fetches nothing."""
    page = once("page", make_page) / "report.html"
    driver.address = page.as_uri()
    driver.get(driver.address)
    yield driver
    errors = [e for e in driver.get_log("browser") if e["level"] == "SEVERE"]
    assert errors == []
    events = [
        json.loads(entry["message"])["message"]
        for entry in driver.get_log("performance")
    ]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert asked and all(url.startswith(("data:", "file:")) for url in asked)


@pytest.mark.parametrize("key", ["click", "enter", "space"])
def test_table_sorts_by_numbers_with_mouse_and_keyboard(browser, key):
    """Rows without a number come last, the means stay below."""
    header = browser.find_elements("css selector", "thead th")[4]
    button = header.find_element("css selector", "button")
    assert button.text.startswith("SI-SDR")
    press = {
        "click": button.click,
        "enter": lambda: button.send_keys("\ue007"),
        "space": lambda: button.send_keys(" "),
    }[key]
    before = browser.execute_script(COLUMN, 4)
    means, known = before[6:], [float(x) for x in before[:6] if x]
    assert len(known) == 4 and known != sorted(known) != sorted(known, key=str)
    for order, reverse in (("ascending", False), ("descending", True)):
        press()
        assert header.get_attribute("aria-sort") == order
        found = browser.execute_script(COLUMN, 4)
        assert [*map(float, found[:4])] == sorted(known, reverse=reverse)
        assert found[4:6] == ["", ""] and found[6:] == means


def test_table_sorts_by_words(browser):
    browser.find_elements("css selector", "thead button")[4].click()
    browser.find_element("css selector", "thead button").click()
    found = browser.execute_script(COLUMN, 0)
    assert found[:6] == "C C E R S SER".split()
    assert len(browser.find_elements("css selector", "[aria-sort]")) == 1


def test_every_player_has_its_whole_sound_and_every_picture_is_shown(browser):
    found = browser.execute_async_script(SOUNDS)
    assert len(found) == 8 * 5
    assert all(seconds == pytest.approx([2] * 3, abs=0.01) for seconds in found)
    sizes = browser.execute_script(
        "return [...document.images].map(i => i.naturalWidth)"
    )
    assert len(sizes) == 8 * 5 + 2 and all(sizes)


def test_a_click_into_a_spectrogram_plays_from_there(browser):
    browser.execute_async_script(SOUNDS)
    for plot in browser.find_elements("css selector", ".spectrogram")[:2]:
        plot.click()
    times = browser.execute_script(PLAYERS.format("currentTime"))
    assert times[0] >= 0.95 and times[1] >= 0.95 and not any(times[2:])
    # The second one stops the first, once the browser says that it plays.
    give_up = time.monotonic() + 10
    while not browser.execute_script(PLAYERS.format("paused"))[0]:
        assert time.monotonic() < give_up


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_never_wider_than_the_screen(browser, width, scheme):
    screen = {"width": width, "height": 740, "deviceScaleFactor": 1}
    screen["mobile"] = True
    colors = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", colors)
    browser.get(browser.address)
    shown = "return document.documentElement.scrollWidth"
    opened = "document.querySelectorAll('details').forEach(d => d.open = true);"
    assert browser.execute_script(opened + shown) <= width


def test_screenshot_is_small_enough_for_a_readme(once, tmp_path):
    report = once("page", make_page) / "report.html"
    take = runpy.run_path(str(ROOT / "tools/screenshot.py"))["main"]
    take(str(report), str(tmp_path / "report.png"))
    assert 20_000 < (tmp_path / "report.png").stat().st_size < 500_000
