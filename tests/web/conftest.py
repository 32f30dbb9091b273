"""One browser and one built page for all tests here; they are skipped where the browser or the runtime is missing."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxgen.errors import InputError
from jaxgen.web.build import build_page
from jaxgen.web.serve import open_server
from jaxgen.web.vendor import pinned_archive
from tests.web.chromium import Page, find_chromium, open_chromium


@pytest.fixture(scope="session")
def archive() -> Path:
    """onnxruntime-web, from the cache or from npm."""
    try:
        return pinned_archive()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def built(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a page.

    It holds a generator, a restorer, a second one of the generator's name, a restorer of 24 px, three that are told
    what to repair, of which one does not fill and one sees by itself what is damaged, a network that enlarges, and a
    generator and a restorer of volumes.
    """
    pytest.importorskip("onnx")
    from tests.web import stand_ins
    from tests.web.stand_ins import linear_gan, mean_restorer, mean_upscaler, seeing_restorer, told_restorer

    out = tmp_path_factory.mktemp("web") / "page"
    fixed = mean_restorer("Fixed")
    fixed.manifest["image"] |= {"height": 24, "width": 24}
    told = [told_restorer(), told_restorer("No holes", fills=False), seeing_restorer()]
    volumes = [stand_ins.ball_gan(), stand_ins.mean_scan()]
    build_page([linear_gan(), mean_restorer(), linear_gan(), fixed, *told, mean_upscaler(), *volumes], out, archive)
    return out


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    with open_server(built, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here")
    with open_chromium(program) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """The tab, at desktop size, with no preference set."""
    browser.size(1280, 900)
    browser.media()
    return browser


@pytest.fixture
def heeded() -> Iterator[None]:
    """Processes started here heed SIGINT, though a shell that runs the tests in its background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
