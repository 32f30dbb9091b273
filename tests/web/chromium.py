"""Chromium without a window, driven by the DevTools protocol over two pipes: no package is needed for it."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Tab": 9, " ": 32}


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


class Page:
    """One tab. `requests` are the addresses asked for, `problems` the errors that the page has logged."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._count, self._rest, self._session = read, write, 0, b"", None
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM", "Accessibility"):
            self.send(f"{domain}.enable")
        self.send("Network.setCacheDisabled", cacheDisabled=False)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one command of the protocol."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _receive(self, timeout_s: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it is."""
        result = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, address: str) -> None:
        """Loads a page anew and waits until its model is ready."""
        self.send("Page.navigate", url="about:blank")
        self.requests.clear()
        self.problems.clear()
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && window.jaxgen")
        self.idle()

    def idle(self) -> None:
        self.run("jaxgen.idle()")

    def wait(self, script: str, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.run(f"!!({script})"):
            assert time.monotonic() < deadline, f"{script}: {self.run('document.body?.innerText')} {self.problems}"
            time.sleep(0.03)

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({selector!r}).click()")

    def set(self, selector: str, value: Any, event: str = "input") -> None:
        """Sets a control as a person would."""
        self.run(
            f"(e => {{ e.value = {str(value)!r}; e.dispatchEvent(new Event({event!r}, {{bubbles: true}})); }})"
            f"(document.querySelector({selector!r}))"
        )

    def press(self, key: str) -> None:
        """One key on whatever has the focus."""
        key_of = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown", **key_of, **({"text": " "} if key == " " else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **key_of)

    def drag(self, points: list[tuple[float, float]]) -> None:
        """The mouse, pressed at the first point, moved over all and let go at the last."""
        for i, (x, y) in enumerate(points):
            kind = "mousePressed" if i == 0 else "mouseMoved"
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def choose(self, selector: str, path: Path) -> None:
        """Gives a file to a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def size(self, width: int, height: int, mobile: bool = False, scale: float = 1) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def media(self, **features: str) -> None:
        """Such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=listed)

    def screenshot(self, path: Path, full: bool = True) -> None:
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=full)["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def open_chromium(program: str) -> Iterator[Page]:
    """A browser with a new profile; ended, with all its processes, when the block is."""
    (read_in, write_in), (read_out, write_out) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (read_in, write_out)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = os.open(os.devnull, os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in ((theirs[0], 3), (theirs[1], 4), (quiet, 1), (quiet, 2))]
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = os.posix_spawn(program, command, {**os.environ, "TMPDIR": profile}, file_actions=actions, setpgroup=0)
        for fd in (read_in, write_out, quiet, *theirs):
            os.close(fd)
        try:
            yield Page(read_out, write_in)
        finally:
            for fd in (read_out, write_in):
                os.close(fd)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
