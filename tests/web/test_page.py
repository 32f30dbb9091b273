"""What holds for the page as a whole: no foreign request, names of controls, small screens, any file server."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from tests.web.chromium import Page

KINDS = ["linear", "told", "larger", "ball"]
GANS = ("linear", "ball")
every_kind = pytest.mark.parametrize("model", KINDS)


def open_model(page: Page, address: str, model: str) -> None:
    """All that a page has to show: a restorer with a picture restored, or what enlarges with one enlarged."""
    page.open(f"{address}#model={model}&seed=1")
    if model not in GANS:
        page.click("#example")
        page.idle()
        page.click({"told": "#restore", "larger": "#enlarge"}[model])
        page.idle()


@every_kind
def test_no_request_leaves_the_origin(page: Page, address: str, model: str) -> None:
    open_model(page, address, model)
    entries = page.run("performance.getEntriesByType('resource').map(e => e.name)")
    assert len(entries) > 5
    assert {entry for entry in [*entries, *page.requests] if not entry.startswith((address, "blob:", "data:"))} == set()
    assert page.problems == []


def test_the_policy_stops_a_foreign_request(page: Page, address: str) -> None:
    page.open(address)
    blocked = page.run(
        "new Promise(done => { document.addEventListener('securitypolicyviolation', e => done(e.violatedDirective));"
        "fetch('https://192.0.2.1/').catch(() => {}); setTimeout(() => done('nothing'), 2000) })"
    )
    assert blocked == "connect-src"


@every_kind
def test_all_controls_have_names(page: Page, address: str, model: str) -> None:
    open_model(page, address, model)
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node.get("ignored") and role(node) in CONTROLS]
    assert len(controls) >= 8
    assert [node for node in controls if not node.get("name", {}).get("value", "").strip()] == []
    pictures = [node["name"]["value"] for node in nodes if role(node) == "image" and not node.get("ignored")]
    assert any("picture" in name for name in pictures)


CONTROLS = {"button", "slider", "radio", "combobox", "spinbutton", "application", "link", "checkbox", "textbox"}


def role(node: dict[str, Any]) -> str:
    return node.get("role", {}).get("value", "")


def test_what_has_happened_is_said_politely(page: Page, address: str) -> None:
    page.open(f"{address}#model=linear&seed=1")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    (status,) = [node for node in nodes if role(node) == "status"]
    assert {p["name"]: p["value"]["value"] for p in status["properties"]}["live"] == "polite"


@every_kind
def test_the_tab_key_goes_down_each_column_and_the_focus_is_seen(page: Page, address: str, model: str) -> None:
    open_model(page, address, model)
    page.run("(e => { e.tabIndex = -1; e.focus(); })(document.querySelector('h1'))")
    seen: list[tuple[bool, float, str]] = []
    for _ in range(40):
        page.press("Tab")
        if page.run("document.activeElement === document.body"):
            break
        x, y, outline = page.run("""(e => {
          const [box, ring] = [e.getBoundingClientRect(), e.closest(".chips label") ?? e];
          return [box.x, box.y + box.height / 2 + scrollY, getComputedStyle(ring).outlineStyle];
        })(document.activeElement)""")
        seen.append((x > (600 if model in GANS else 700), round(y / 10), outline))
    assert len(seen) >= 7
    assert {outline for *_, outline in seen} == {"solid"}
    places = [place[:2] for place in seen[1:]]  # after the choice of a model, which is at the top right
    assert places == sorted(places)


@every_kind
@pytest.mark.parametrize("width", [320, 360, 768])
def test_no_sideways_scrolling_on_small_screens(page: Page, address: str, model: str, width: int) -> None:
    page.size(width, 740, mobile=True)
    open_model(page, address, model)
    assert page.run("document.documentElement.scrollWidth") == width
    small = page.run(
        "[...document.querySelectorAll('button, select, input[type=number]')].filter(e => e.offsetParent)"
        ".filter(e => e.getBoundingClientRect().height < 40).map(e => e.id)"
    )
    assert small == []  # large enough for a finger


@pytest.mark.parametrize("scheme", ["light", "dark"])
@every_kind
def test_text_stands_out_from_its_ground(page: Page, address: str, model: str, scheme: str) -> None:
    page.media(prefers_color_scheme=scheme)
    open_model(page, address, model)
    colours = page.run(
        "[...document.querySelectorAll('button:not(:disabled), label, legend, p, .value, select')]"
        ".filter(e => e.offsetParent && e.textContent.trim()).map(e => { let ground = e;"
        "while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;"
        "const [ink, paper] = [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor];"
        "return [e.id || e.className || e.tagName, ink, paper] })"
    )
    assert len(colours) > 5
    weak = [(name, ink, ground) for name, ink, ground in colours if contrast(ink, ground) < 4.5]
    assert weak == []


def contrast(ink: str, ground: str) -> float:
    """Ratio of the Web Content Accessibility Guidelines 2.1."""

    def luminance(colour: str) -> float:
        channels = np.array([int(part) for part in colour.strip("rgb()").split(",")[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


class _PlainHandler(http.server.SimpleHTTPRequestHandler):
    """A file server that knows hardly a type and sends no header of ours."""

    extensions_map: ClassVar = {
        ".html": "text/html",
        ".js": "application/javascript",
        ".css": "text/css",
        "": "text/plain",
    }

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def plain(built: Path) -> Iterator[str]:
    """The same folder below another one's name, on a plain file server."""
    handler = functools.partial(_PlainHandler, directory=str(built.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{built.name}/"
        server.shutdown()
        thread.join()


def test_threads_where_the_server_allows_them_and_one_elsewhere(page: Page, address: str, plain: str) -> None:
    page.open(f"{address}#model=linear&seed=1")
    cores = page.run("navigator.hardwareConcurrency")
    assert page.run("document.documentElement.dataset.threads") == str(min(4, cores))
    pixels = page.run("[...jaxgen.picture().data]")
    page.open(f"{plain}#model=linear&seed=1")
    assert page.run("document.documentElement.dataset.threads") == "1"
    assert page.run("[...jaxgen.picture().data]") == pixels


WORK = {"mean": ("#restore", "Restored in"), "larger": ("#enlarge", "Enlarged to 2400 × 2400")}


@pytest.mark.parametrize("model", WORK)
def test_the_page_answers_while_it_computes(page: Page, address: str, tmp_path: Path, model: str) -> None:
    button, said = WORK[model]
    Image.new("RGB", (1200, 1200), (90, 20, 60)).save(tmp_path / "plain.png")
    page.open(f"{address}#model={model}")
    page.choose("#file", tmp_path / "plain.png")
    page.wait("document.querySelector('#status').textContent !== ''")
    page.click(button)
    longest = page.run("""new Promise(done => {
      let [before, longest] = [performance.now(), 0];
      let running = true;
      const step = (now) => {
        longest = Math.max(longest, now - before);
        before = now;
        running ? requestAnimationFrame(step) : done(longest);
      };
      requestAnimationFrame(step);
      jaxgen.idle().then(() => (running = false));
    })""")
    assert longest < 1000
    assert said in page.run("document.querySelector('#status').textContent")
