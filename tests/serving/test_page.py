"""The page in a browser: what somebody does who drops a recording, records one, or goes live."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from convtasnet_lit.serving import server
from tests.browser import CHROMIUM, Page, opened
from tests.serving.running import RATE, Running, running

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

SECONDS = 25  # of the longer recording, which must not end before a slow machine has looked at it
LIMITS = ["queue_seconds=30", "answer_time=0.2", "submissions=10000", "stream_share=1000", "free_bytes=1"]
SOURCES = """
window.started = [], window.gains = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...at) {
  started.push([this.context.currentTime, ...at]);
  return start.apply(this, at);
};
const Gain = GainNode;
window.GainNode = class extends Gain { constructor(...given) { super(...given); gains.push(this); } };
"""  # tells what the audio thread is asked to do
PLAYED = "+document.querySelector('#seek').value"


@pytest.fixture(scope="module")
def site(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with a small queue."""
    options = [part for limit in LIMITS for part in ("--limit", limit)]
    with running(tmp_path_factory.mktemp("site"), network, *options) as found:
        yield found


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of two tones that take turns, one of silence, one too long, and no recording."""
    folder = tmp_path_factory.mktemp("sounds")
    time = np.arange(SECONDS * RATE) / RATE
    tones = [np.sin(2 * np.pi * pitch * time) * (time * 2 % 2 // 1 == turn) for turn, pitch in enumerate((300, 1100))]
    soundfile.write(folder / "talk.wav", 0.3 * sum(tones), RATE)
    soundfile.write(folder / "meeting.wav", 0.3 * sum(tones)[: 4 * RATE], RATE)
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "long.wav", np.random.default_rng(0).normal(0, 0.1, 40 * RATE), RATE)
    (folder / "letter.wav").write_text("no recording")
    return folder


@pytest.fixture(scope="module")
def browser(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser whose microphone hears a recording."""
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    heard = f"--use-file-for-fake-audio-capture={sounds / 'meeting.wav'}"
    with opened(tmp_path_factory.mktemp("browser"), *flags, heard, "--lang=en-US") as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=SOURCES)
        yield page


@pytest.fixture
def page(browser: Page, site: Running) -> Iterator[Page]:
    """The page on a desktop's screen; at the end nothing must have been complained about, or fetched elsewhere."""
    show(browser, site, 1280)
    yield browser
    asked = {event["request"]["url"] for event in browser.named("Network.requestWillBeSent")}
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {site.url[7:]}
    assert not browser.named("Runtime.exceptionThrown") and not browser.named("Runtime.consoleAPICalled")
    refused = [event["entry"] for event in browser.named("Log.entryAdded")]
    assert all(re.search(r"status of 4(15|22|29)", entry["text"]) for entry in refused), refused


def show(page: Page, site: Running, width: int, dark: bool = False) -> None:
    page.open(site.url, width, dark)
    page.until("document.body.classList.contains('ready')")


def click(page: Page, selector: str) -> None:
    page.ask(f"document.querySelector({selector!r}).click()")


def text(page: Page, selector: str) -> str:
    return str(page.ask(f"document.querySelector({selector!r}).innerText"))


def sees(page: Page, view: str) -> None:
    """Wait for a view; a problem that is shown instead is what the test says."""
    page.until(f"!document.querySelector('#{view}').hidden || !document.querySelector('#problem').hidden")
    assert page.ask(f"!document.querySelector('#{view}').hidden"), text(page, "#problem")


def separate(page: Page, sounds: Path, name: str = "meeting.wav") -> None:
    page.choose("#file", sounds / name)
    sees(page, "results")


def gains(page: Page) -> list[float]:
    found: list[float] = page.ask("gains.map(node => node.gain.value)")
    return found


def test_a_recording_comes_back_as_voices(page: Page, sounds: Path) -> None:
    separate(page, sounds)
    assert text(page, "#results-title") == "meeting.wav"
    assert page.ask("[...document.querySelectorAll('#tracks h2')].map(h => h.innerText)") == [
        "Original",
        "Voice 1",
        "Voice 2",
    ]
    assert page.ask("document.querySelectorAll('.lane').length") == 2
    assert page.ask("document.querySelectorAll('.lane span').length") == page.ask(
        "document.querySelectorAll('#turns li').length"
    )
    fetched = "performance.getEntriesByType('resource').map(entry => entry.name.split('/').at(-1))"
    page.until(f"{fetched}.filter(name => /^(mixture|speaker[12])\\.(svg|png)$/.test(name)).length === 6")
    links = page.ask(
        "Promise.all([...document.querySelectorAll('#results a')].map(async a => "
        "[a.download, (await fetch(a.href)).headers.get('content-type')]))"
    )
    names = ["meeting_mixture.wav", "meeting_speaker1.wav", "meeting_speaker2.wav"]
    assert links == [["", "application/zip"], *([name, "audio/wav"] for name in names)]


def test_all_tracks_play_in_step_and_each_can_be_heard_alone(page: Page, sounds: Path) -> None:
    separate(page, sounds, "talk.wav")
    click(page, "#play")
    page.until(f"{PLAYED} > 0.1")
    started = page.ask("started")
    assert len(started) == 3 and len({tuple(at) for now, *at in started}) == 1  # at one time, from one place
    assert all(at >= now for now, at, _ in started)  # and not so late that one of them had begun
    page.until("gains[0].gain.value > 0.99 && gains[1].gain.value < 0.01 && gains[2].gain.value < 0.01")
    click(page, "[data-track='1'] .solo")
    page.until("gains[1].gain.value > 0.99")
    page.until("gains[0].gain.value < 0.01")
    assert gains(page)[2] < 0.01 and page.ask("started.length") == 3  # nothing was started anew
    click(page, "[data-track='1'] .solo")
    click(page, "[data-track='0'] .mute")
    page.until("gains[2].gain.value > 0.99")
    assert gains(page) == pytest.approx([0, 1, 1], abs=0.02)
    pressed = "[...document.querySelectorAll('#tracks button')].map(b => b.getAttribute('aria-pressed') === 'true')"
    assert page.ask(pressed) == [False, True, False, False, False, False]

    box = page.ask("JSON.parse(JSON.stringify(document.querySelector('.strip').getBoundingClientRect()))")
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20, "button": "left", "clickCount": 1}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, **place)
    again = page.ask("started.slice(-3)")
    assert len({tuple(at) for _, *at in again}) == 1
    assert again[0][2] == pytest.approx(SECONDS / 2, abs=0.1)
    page.until(f"{PLAYED} > {SECONDS / 2}")
    page.ask(f"seek.value = {SECONDS - 0.3}, seek.dispatchEvent(new Event('input'))")
    page.until("document.querySelector('#results.plays') === null")  # it ends by itself
    assert page.ask(PLAYED) == 0


def test_a_long_recording_is_played_from_the_service_in_step(page: Page, sounds: Path) -> None:
    separate(page, sounds)
    page.ask("""(async () => {
      const {openPlayer} = await import('/page/player.js');
      const tracks = [...document.querySelectorAll('.download')].map(link => link.href);
      window.long = await openPlayer(tracks, 1e5);  // seconds that no memory holds
      long.hear([0, 1, 0]);
      await long.play();
      long.elements[2].currentTime += 1;
    })()""")
    page.until("long.playing && long.time > 0.2")
    apart = "long.elements.map(element => Math.abs(element.currentTime - long.time))"
    page.until(f"{apart}.every(seconds => seconds < 0.1)")
    assert page.ask("long.elements.map(element => element.muted)") == [True, False, True]
    page.ask("long.seek(2), long.pause()")
    page.until(f"!long.playing && long.time >= 2 && {apart}.every(seconds => seconds === 0)")
    page.ask("long.close()")


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("silence.wav", "This file has no sound.", "这个文件里没有声音。"),
        ("letter.wav", "This file is not a recording that can be read.", "这个文件不是可以读取的录音。"),
        ("long.wav", "Others are being served, and the queue is full. Try again in about 0:0", "队列已满。请大约 0:0"),
    ],
)
def test_what_is_refused_is_said_in_words(page: Page, sounds: Path, name: str, english: str, chinese: str) -> None:
    page.choose("#file", sounds / name)
    page.until("!document.querySelector('#problem').hidden")
    assert not page.ask("document.querySelector('#start').hidden")
    assert english in text(page, "#problem p")
    assert page.ask("document.querySelector('#problem button').hidden") == (name != "long.wav")
    click(page, "#language")
    said = text(page, "#problem p")
    click(page, "#language")
    assert chinese in said
    if name == "long.wav":
        click(page, "#problem button")
        page.until("document.querySelector('#problem').hidden")
        page.until("!document.querySelector('#problem').hidden")


def test_a_job_can_be_watched_and_cancelled(page: Page, site: Running, sounds: Path) -> None:
    number = site.model_process
    os.kill(number, signal.SIGSTOP)
    try:
        page.choose("#file", sounds / "meeting.wav")
        page.until("document.querySelector('#stage').innerText === '0 % done'")
        assert re.fullmatch(r"ready in about 0:\d\d", text(page, "#estimate"))
        assert page.ask("document.querySelector('#progress').value") == 0
        assert text(page, "#status") == "0 % done"
        click(page, "#cancel")
        sees(page, "start")
        assert page.ask("document.querySelector('#status').textContent") == "Cancelled."
    finally:
        os.kill(number, signal.SIGCONT)
    urls = [event["request"]["url"] for event in page.named("Network.requestWillBeSent")]
    (events,) = (url for url in urls if url.endswith("/events"))
    with site.client as client:
        assert client.get(urlsplit(events).path.removesuffix("/events")).status_code == 404


def test_the_microphone_is_recorded(page: Page) -> None:
    click(page, "#record")
    sees(page, "recording")
    page.until("document.querySelector('#recording .clock').innerText !== '0:00'")
    click(page, "#stop-recording")
    sees(page, "results")
    assert text(page, "#results-title") == "recording.wav"
    loudest = """(async () => {
      const bytes = await (await fetch(document.querySelector('.download').href)).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(bytes);
      return [sound.duration, sound.getChannelData(0).reduce((most, now) => Math.max(most, Math.abs(now)), 0)];
    })()"""
    duration, peak = page.ask(loudest)
    assert duration >= 1 and peak > 0.1


def test_a_file_that_only_the_browser_can_read_is_dropped(page: Page) -> None:
    page.ask("""(async () => {
      const context = new AudioContext(), tone = new OscillatorNode(context);
      const to = new MediaStreamAudioDestinationNode(context);
      tone.connect(to), tone.start(), await context.resume();
      const recorder = new MediaRecorder(to.stream, {mimeType: 'audio/webm'}), pieces = [];
      recorder.ondataavailable = ({data}) => pieces.push(data);
      recorder.start();
      await new Promise(resolve => setTimeout(resolve, 700));
      await new Promise(resolve => { recorder.onstop = resolve; recorder.stop(); });
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(pieces, 'memo.webm'));
      const event = new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true});
      document.querySelector('#drop').dispatchEvent(event);
    })()""")
    sees(page, "results")
    assert text(page, "#results-title") == "memo.webm"


def test_the_example_is_tried_with_the_keyboard_alone(page: Page) -> None:
    def go_to(selector: str) -> None:
        for _ in range(30):
            page.press("Tab")
            if page.ask(f"document.activeElement.matches({selector!r})"):
                assert page.ask("document.activeElement.matches(':focus-visible')")
                return
        raise AssertionError(f"{selector} cannot be reached")

    go_to("#example")
    page.press("Enter")
    sees(page, "results")
    assert page.ask("document.activeElement.id") == "results-title"  # where a reader goes on
    assert page.ask("document.querySelector('#status').textContent") == "Ready: 2 voices."
    go_to("#play")
    page.press(" ")
    page.until(f"{PLAYED} > 0")
    go_to("#seek")
    before = page.ask(PLAYED)
    page.press("ArrowRight")
    assert page.ask(PLAYED) > before
    go_to("[data-track='2'] .solo")
    page.press("Enter")
    assert page.ask("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "slider", "image", "heading"}
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(found) > 15 and all(node["name"]["value"].strip() for node in found)
    names = {node["name"]["value"] for node in found}
    assert {"Solo Voice 2", "Mute Original", "Download Voice 1", "Waveform of Voice 1"} <= names


def test_live_the_voices_come_back(page: Page) -> None:
    assert "hear the voices apart" in text(page, "#live-able")
    click(page, "#go-live")
    sees(page, "live")
    page.until("/^\\d+ ms$/.test(document.querySelector('#latency').innerText)")
    drawn = """(canvas => {
      const {data, width, height} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const size = width * 4, rows = Array.from({length: height}, (_, y) => data.subarray(y * size, (y + 1) * size));
      return rows.filter(row => row.some(Boolean)).length;
    })"""
    for track in range(3):  # the microphone and both voices are loud
        page.until(f"{drawn}(document.querySelector('#voices [data-track=\"{track}\"] canvas')) > 10")
    assert not any(gains(page))  # or the microphone would hear them
    click(page, "#voices [data-track='2'] button")
    page.until("gains.at(-1).gain.value > 0.99")
    assert sum(gains(page)) == pytest.approx(1, abs=0.01)
    (socket,) = page.named("Network.webSocketCreated")
    assert socket["url"].startswith("ws://127.0.0.1")
    click(page, "#stop-live")
    sees(page, "start")
    assert page.ask("document.querySelector('#problem').hidden")


def test_a_network_that_cannot_stream_says_so(page: Page, site: Running) -> None:
    card = "# A <b>card</b>\n\n- [a](https://example.org) `b`\n\n| x | y |\n| --- | --- |\n| 1 | 2 |"
    known = f"streams: false, sample_rate: 16000, card: {json.dumps(card)}"
    other = f"""const asked = fetch; window.fetch = async (address, options) => {{
      const answer = await asked(address, options);
      return address === '/v1/model' ? Response.json({{...await answer.json(), {known}}}) : answer;
    }}"""
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=other)["identifier"]
    show(page, site, 1280)
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert "cannot follow a microphone live" in text(page, "#live-able")
    assert page.ask("document.querySelector('#go-live').hidden")
    assert "It hears up to 8 kHz." in text(page, "#able")
    click(page, "header .open-card")
    assert page.ask("document.querySelector('#card').open")
    assert page.ask("document.querySelector('.card h2').textContent") == "A <b>card</b>"  # what a card holds is text
    assert page.ask("document.querySelector('.card td').textContent") == "1"
    assert page.ask("document.querySelector('.card li a').href") == "https://example.org/"
    page.press("Escape")
    assert not page.ask("document.querySelector('#card').open")


def test_it_speaks_the_language_of_the_browser(page: Page, site: Running) -> None:
    page.ask("localStorage.clear()")  # in which the choice of others is remembered
    agent = page.ask("navigator.userAgent")
    page.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage="zh-CN")
    show(page, site, 360)
    chinese = page.ask("[document.documentElement.lang, document.title, document.querySelector('h1').innerText]")
    texts = "[...document.querySelectorAll('[data-text]')].map(element => element.textContent)"
    latin = page.ask(f"{texts}.filter(text => text && !/[\\u4e00-\\u9fff]/.test(text))")
    page.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage="en-US")
    assert chinese == ["zh-Hans", "听清每一个人", "听清每一个人"]
    assert latin == ["English"]  # the switch
    show(page, site, 360)
    assert page.ask("[document.documentElement.lang, document.title]") == ["en", "Hear each person"]
    missing = page.ask("""import('/page/texts.js').then(({TEXTS: {en, zh}}) => {
      const holes = text => [...text.matchAll(/\\{\\w+\\}/g)].map(String).sort().join();
      return Object.keys(en).filter(key => !(key in zh) || holes(en[key]) !== holes(zh[key]));
    })""")
    assert missing == []
    texts = (server.PAGE / "texts.js").read_text()
    others = "".join(path.read_text() for path in server.PAGE.iterdir() if path.name != "texts.js")
    unused = {key for key in re.findall(r"^    (\w+):", texts, re.MULTILINE) if f'"{key}"' not in others}
    assert unused == set()


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_telephone_nothing_lies_beside_the_screen(page: Page, site: Running, sounds: Path, dark: bool) -> None:
    show(page, site, 360, dark)
    assert page.ask("document.documentElement.scrollWidth") <= 360
    separate(page, sounds)
    assert page.ask("document.documentElement.scrollWidth") <= 360
    heights = "[...document.querySelectorAll('#results .button, #results button:not(.link)')].map(e => e.offsetHeight)"
    assert min(page.ask(f"{heights}.filter(Boolean)")) >= 36  # for thumbs
    ink, paper = (page.ask(f"getComputedStyle(document.documentElement).{key}") for key in ("color", "backgroundColor"))
    bright = [sum(map(int, re.findall(r"\d+", colour))) for colour in (ink, paper)]
    assert (bright[0] - bright[1] > 400) if dark else (bright[1] - bright[0] > 400)
