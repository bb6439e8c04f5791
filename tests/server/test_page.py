"""The page in Chromium: it speaks, stops, shows what is wrong, asks nobody else, works with a keyboard and a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import TEXT, Running, clip, running_server, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")

FLAGS = ["--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu"]
FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as programs:
        made = programs.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture()
def page(browser: Any, running: Running) -> Iterator[Any]:
    """The page, loaded; nothing may be asked of other hosts, and nothing be wrong on the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    made.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("request", lambda request: asked.append(request.url))
    made.goto(running.url + "/")
    made.wait_for_selector("#voice option", state="attached")
    yield made
    context.close()
    assert [url for url in asked if not url.startswith((running.url, "blob:", "data:"))] == []
    assert [line for line in said if "Failed to load resource" not in line] == []


def test_it_speaks_and_keeps_what_it_spoke(page: Any) -> None:
    page.fill("#text", TEXT)
    page.click("#go")
    page.wait_for_selector("#clips audio")
    assert "first sound" in page.inner_text("#state")
    with page.expect_download() as download:
        page.click("#clips a")
    data = Path(download.value.path()).read_bytes()
    assert data[:4] == b"RIFF" and int.from_bytes(data[40:44], "little") == len(data) - 44
    assert max(data[44:]) > 0


def test_other_formats_are_downloaded_from_the_server(page: Any) -> None:
    page.click("summary")
    page.select_option("#format", "flac")
    page.fill("#seed", "5")
    page.fill("#text", TEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#clips audio")
    with page.expect_download() as download:
        page.click("#clips a")
    assert Path(download.value.path()).read_bytes()[:4] == b"fLaC"


def test_stop_ends_the_work(page: Any, running: Running) -> None:
    page.fill("#text", (TEXT + " ") * 80)
    page.click("#go")
    assert wait_for(lambda: running.server.engine.running > 0)
    page.wait_for_selector("#stop:enabled")
    page.keyboard.press("Escape")
    assert running.idle()
    assert page.inner_text("#state") == "stopped"


def test_a_reload_in_the_middle_ends_the_work(page: Any, running: Running) -> None:
    page.fill("#text", (TEXT + " ") * 80)
    page.click("#go")
    assert wait_for(lambda: running.server.engine.running > 0)
    page.reload()
    assert running.idle()


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "Input is wrong"), (429, "Try again in 3 s"), (503, "Try again in 3 s"), (500, "internal")],
)
def test_errors_are_shown_in_words(page: Any, status: int, words: str) -> None:
    body = '{"error": {"message": "input is wrong, internal", "type": "x", "param": null, "code": null}}'
    headers = {"content-type": "application/json", "retry-after": "3"}
    page.route("**/v1/audio/speech", lambda route: route.fulfill(status=status, body=body, headers=headers))
    page.fill("#text", TEXT)
    page.click("#go")
    page.wait_for_selector("#problem:visible")
    assert words in page.inner_text("#problem")
    assert page.is_enabled("#go")


def test_a_cut_connection_is_told(page: Any, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from tutortoietts.server.sound import Sound

    def fail(self: Sound) -> tuple[bytes, float]:
        raise RuntimeError("broken")

    monkeypatch.setattr(Sound, "finish", fail)
    page.fill("#text", TEXT)
    page.click("#go")
    page.wait_for_selector("#problem:visible")
    assert "broke before the end" in page.inner_text("#problem")


def test_empty_text_is_asked_for(page: Any) -> None:
    page.click("#go")
    assert "no text" in page.inner_text("#problem")
    assert page.evaluate("document.activeElement.id") == "text"


@pytest.mark.parametrize(
    "text", ["<script>document.title = 'x'</script> hello", "\u05e9\u05dc\u05d5\u05dd hello", "\U0001f600 hello"]
)
def test_text_is_only_text(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("#go")
    page.wait_for_selector("#clips audio")
    assert page.inner_text("#clips p") == text.strip()
    assert page.title() == "Tutortoie TTS"


def test_a_mix_is_spoken(page: Any, running: Running) -> None:
    page.click("summary")
    page.select_option("#mix select >> nth=0", "ben")
    assert page.inner_text("#mixed") == "anna+ben"
    page.fill("#text", TEXT)
    with page.expect_request("**/v1/audio/speech") as request:
        page.click("#go")
    assert request.value.post_data_json["voice"] == "anna+ben"
    page.wait_for_selector("#clips audio")


def test_a_voice_is_made_of_clips_with_consent_and_deleted(page: Any) -> None:
    page.set_input_files("#files", [{"name": "a.wav", "mimeType": "audio/wav", "buffer": clip()}])
    page.fill("#name", "frieda")
    page.click("text=Add voice")
    assert "consent" in page.inner_text("#cloneproblem")
    page.check("#consent")
    page.click("text=Add voice")
    page.wait_for_selector("#own li")
    assert page.input_value("#voice") == "frieda"
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#own button")
    page.wait_for_selector("#own li", state="detached")


def test_a_recording_becomes_a_clip(page: Any) -> None:
    page.click("#record")
    page.wait_for_selector("text=recording, 1 s")
    page.click("#record")
    assert "recording-1.wav" in page.inner_text("#chosen")


def test_the_key_is_asked_for(browser: Any, streaming_model: Path) -> None:
    with running_server(streaming_model, keys={"a": "a" * 16}) as running:
        context = browser.new_context()
        page = context.new_page()
        page.goto(running.url + "/")
        page.wait_for_selector("#voice option", state="attached")
        page.fill("#text", TEXT)
        page.click("#go")
        page.fill("#key", "a" * 16)
        page.click("#ask button.main")
        page.wait_for_selector("#clips audio")
        context.close()


def test_a_keyboard_reaches_everything(page: Any) -> None:
    page.focus("#text")
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"voice", "preview", "speed", "go", "files", "record", "name", "consent", "copy", "curl"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_and_can_be_read(browser: Any, running: Running, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(running.url + "/")
    page.wait_for_selector("#voice option", state="attached")
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, textarea, input:not([type=checkbox]):not([type=radio])')]"
        ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44).map((e) => e.id || e.textContent)"
    )
    assert small == []
    for selector in ("#state", ".hint", "#go", "h2", "label", "#server"):
        assert contrast(page, selector) >= 4.5, selector
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea')]"
        ".filter((e) => !e.labels.length && !e.getAttribute('aria-label')).map((e) => e.id)"
    )
    assert unnamed == []
    context.close()


def contrast(page: Any, selector: str) -> float:
    """The contrast of an element's text with what lies behind it."""
    colours = page.evaluate(
        """(selector) => {
            const element = document.querySelector(selector);
            let behind = element;
            const ground = (e) => getComputedStyle(e).backgroundColor;
            while (behind.parentElement && ground(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(element).color, ground(behind)];
        }""",
        selector,
    )
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
