"""Headless Chromium, driven through chromedriver by the W3C WebDriver protocol. Nothing but the standard library.

`with Browser() as browser: browser.open(path)`. Needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.lab.patience import until
from tests.lab.sshd import free_port

_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, "web element identifier"
# Without a sandbox, which needs more than root in a container gives; and without any connection of its own.
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


class Browser:
    """One window. Every method returns once the browser has done it."""

    def __init__(self, *, width: int = 1100, height: int = 800) -> None:
        self._size = (width, height)
        self._profile = tempfile.TemporaryDirectory(prefix="lab-browser-", ignore_cleanup_errors=True)
        self._port = free_port()
        self._driver: subprocess.Popen[bytes] | None = None
        self._session = ""

    def __enter__(self) -> Browser:
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._port}", "--log-level=OFF"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert until(self._ready, 30), "chromedriver does not answer"
            arguments = [*_ARGUMENTS, f"--user-data-dir={self._profile.name}"]
            options = {"args": arguments, "binary": "/usr/bin/chromium"}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            self._session = self._call("POST", "/session", wanted)["sessionId"]
            self.resize(*self._size)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("DELETE", self._at(""))
        finally:
            self._end()

    def _end(self) -> None:
        assert self._driver
        self._driver.terminate()
        self._driver.wait(20)
        self._profile.cleanup()

    def resize(self, width: int, height: int) -> None:
        """The page's own size, whatever a window has around it."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", size)

    def emulate(self, scheme: str) -> None:
        """Prefer "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def open(self, page: Path) -> None:
        self._call("POST", self._at("/url"), {"url": page.resolve().as_uri()})

    def find(self, selector: str) -> str:
        """The element a CSS selector finds. Raises AssertionError if there is none."""
        found = self._call("POST", self._at("/element"), {"using": "css selector", "value": selector})
        element: str = found[_ELEMENT]
        return element

    def click(self, selector: str) -> None:
        self._call("POST", self._at(f"/element/{self.find(selector)}/click"), {})

    def press(self, keys: str) -> None:
        """Type at whatever has the focus."""
        active = self._call("GET", self._at("/element/active"))[_ELEMENT]
        self._call("POST", self._at(f"/element/{active}/value"), {"text": keys})

    def text(self, selector: str) -> str:
        """What of it can be seen."""
        value: str = self._call("GET", self._at(f"/element/{self.find(selector)}/text"))
        return value

    def visible(self, selector: str) -> bool:
        value: bool = self._call("GET", self._at(f"/element/{self.find(selector)}/displayed"))
        return value

    def role(self, selector: str) -> str:
        """What a screen reader calls it."""
        value: str = self._call("GET", self._at(f"/element/{self.find(selector)}/computedrole"))
        return value

    def label(self, selector: str) -> str:
        """What a screen reader reads."""
        value: str = self._call("GET", self._at(f"/element/{self.find(selector)}/computedlabel"))
        return value

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self._call("POST", self._at("/execute/sync"), {"script": script, "args": []})

    def screenshot(self, target: Path) -> None:
        """The page as far as it can be seen, as PNG."""
        target.write_bytes(base64.b64decode(self._call("GET", self._at("/screenshot"))))

    def _devtools(self, command: str, parameters: object) -> None:
        self._call("POST", self._at("/goog/cdp/execute"), {"cmd": command, "params": parameters})

    def _at(self, path: str) -> str:
        return f"/session/{self._session}{path}"

    def _ready(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except OSError:
            return False

    def _call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {json.load(error)['value']['message']}") from None
