"""The page of the service in a real browser: one channel, three transports, each of which comes back by itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from ..service import Service, eventually, write_service
from ..snippets import block
from .subscribers import ask, publish

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,800",
]
CARDS = ("poll", "events", "socket")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """Headless Chromium, which reports what its console says."""
    assert CHROMIUM and DRIVER
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options, Driver(DRIVER)) as chrome:
        yield chrome


def card(browser: Chrome, name: str) -> WebElement:
    return browser.find_element(By.ID, name)


def messages(browser: Chrome, name: str) -> list[tuple[str, str]]:
    """Id and text of what a transport shows, the newest first."""
    script = """return [...document.querySelectorAll(`#${arguments[0]} li.message`)]
        .map((item) => [item.dataset.id, item.firstChild.textContent])"""
    return [(id, text) for id, text in browser.execute_script(script, name)]


def all_show(browser: Chrome, expected: list[tuple[str, str]]) -> bool:
    return all(messages(browser, name) == expected for name in CARDS)


def all_open(browser: Chrome) -> bool:
    return all("open" in card(browser, name).find_element(By.CLASS_NAME, "state").text for name in CARDS)


def cut_all(browser: Chrome) -> None:
    for name in CARDS:
        card(browser, name).find_element(By.CLASS_NAME, "cut").click()


@pytest.mark.parametrize("server", ["gunicorn", "granian"])
def test_three_transports_show_the_same_and_come_back_with_what_they_missed(
    server: str, tmp_path: Path, browser: Chrome
) -> None:
    service = write_service(tmp_path / "service", realtime="full", server=server)
    with service.started("run", ENVIRONMENT="development", CHANNEL_HISTORY="5", CHANNEL_QUEUE="5", DRAIN_SECONDS="1"):
        browser.get(f"{service.url}/channels/page/")
        eventually(lambda: all_open(browser))
        eventually(lambda: all("-" in card(browser, name).find_element(By.CLASS_NAME, "last").text for name in CARDS))
        cut_all(browser)  # before there was a message
        first = publish(service, "demo", "first").accepted(), "first"
        eventually(lambda: all_show(browser, [first]))
        browser.find_element(By.CSS_SELECTOR, "#publish button").click()
        eventually(lambda: all(len(messages(browser, name)) == 2 for name in CARDS))
        shown = messages(browser, "poll")
        assert all_show(browser, shown) and [text for _, text in shown] == ["Hello", "first"]
        cut_all(browser)
        for text in ("while", "away"):
            shown.insert(0, (publish(service, "demo", text).accepted(), text))
        eventually(lambda: all_show(browser, shown))
        assert not browser.find_elements(By.CLASS_NAME, "reset")
        browser.save_screenshot(str(tmp_path / "page.png"))
        errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
        assert errors == []  # nothing that the page's Content-Security-Policy refuses either
    with service.started("run", ENVIRONMENT="development"):  # another epoch: what was in memory is gone
        eventually(lambda: all(card(browser, name).find_elements(By.CLASS_NAME, "reset") for name in CARDS), 30)
        shown.insert(0, (publish(service, "demo", "after").accepted(), "after"))
        eventually(lambda: all_show(browser, shown))


def test_the_page_fits_a_phone(tmp_path: Path, browser: Chrome) -> None:
    service = write_service(tmp_path / "service", realtime="full")
    phone = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    with service.started("run", ENVIRONMENT="development"):
        browser.get(f"{service.url}/channels/page/")
        eventually(lambda: all_open(browser))
        for shown in browser.find_elements(By.CSS_SELECTOR, "input, button, section"):
            assert 0 <= shown.rect["x"] and shown.rect["x"] + shown.rect["width"] <= 320, shown.get_attribute(
                "outerHTML"
            )
        assert {"log"} == {each.get_attribute("role") for each in browser.find_elements(By.TAG_NAME, "ol")}


def test_the_client_in_the_docs_shows_what_is_published_while_it_loads_its_state(
    tmp_path: Path, browser: Chrome
) -> None:
    service = write_service(tmp_path / "service", realtime="full")
    state = """window.did = [];
        const load = () => new Promise((done) => (window.finish = () => { did.push("loaded"); done(); }));
        const show = (data) => did.push(data);
        window.finish = null;"""

    def does(*wanted: str) -> None:
        eventually(lambda: browser.execute_script("return [...did, ...(finish ? ['loads'] : [])]") == [*wanted])

    def finish() -> None:
        browser.execute_script("finish(); finish = null")

    with service.started("run", ENVIRONMENT="development"):
        browser.get(f"{service.url}/health/live")
        browser.execute_script(f"{state}\n{block('realtime.md', 'open it again yourself')}")
        does("loads")
        for text in ("first", "second"):
            publish(service, "orders", text).accepted()
        finish()
        does("loaded", "first", "second")
    with service.started("run", ENVIRONMENT="development"):  # another epoch
        does("loaded", "first", "second", "loads")
        finish()
        publish(service, "orders", "third").accepted()
        does("loaded", "first", "second", "loaded", "third")


@pytest.mark.parametrize(("cors", "opened"), [("", False), ('"allow_credentials": True, ', True)])
def test_a_page_of_another_origin_follows_with_cookies_if_cors_allows_credentials(
    cors: str, opened: bool, tmp_path: Path, browser: Chrome
) -> None:
    service = write_service(tmp_path / "service", realtime="full")
    service.edit("main.py", 'cors={"', f'cors={{{cors}"')
    other = service.url.replace("127.0.0.1", "localhost")
    follow = """const [address, done] = arguments;
        const source = new EventSource(address, {withCredentials: true});
        source.addEventListener("id", () => done(true));
        source.onerror = () => done(false);"""
    with service.started("run", ENVIRONMENT="development", CORS_ORIGINS=other):
        browser.get(f"{other}/health/live")
        address = f"{service.url}/channels/orders/events"
        assert browser.execute_async_script(follow, address) is opened


def test_the_page_is_for_development_only(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", realtime="full")
    with service.started("run", HOST="127.0.0.1"):
        assert ask(service, "GET", "/channels/page/index.html").status == 404


def test_the_page_is_found_without_its_slash_too_and_a_channel_may_have_its_name(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", realtime="full")
    with service.started("run", ENVIRONMENT="development"):
        assert "<title>Channels</title>" in service.get("/channels/page", follow_redirects=True).text
        assert publish(service, "page", "a message").status == 200


def test_the_page_needs_nothing_from_elsewhere(service: Service) -> None:
    page = Path(write_service(service.folder.parent / "full", realtime="full").folder) / "channels" / "page"
    for file in page.iterdir():
        assert "//" not in file.read_text().replace("// ", "").replace("http://www.w3.org/2000/svg", ""), file
