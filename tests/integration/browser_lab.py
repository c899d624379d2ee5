"""A real browser, headless, spoken to over a pipe: what a person would see and do."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
    "--remote-debugging-pipe",
)
_SECONDS: Final = 100.0  # of a machine that has just started, too
_KEYS: Final = {"Escape": 27, "Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39}


def find_browser() -> str | None:
    """The path of a Chromium, None when there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@dataclass
class Browser:
    """One browser with one tab; `requests` and `errors` are what the page asked and threw."""

    path: str
    profile: Path
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        out_read, self._write = os.pipe()
        self._read, in_write = os.pipe()
        quiet = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            self.path,
            [self.path, *_FLAGS, f"--user-data-dir={self.profile}"],
            os.environ,
            file_actions=[
                # away from 3 and 4 first: a pipe may have been given these numbers
                (os.POSIX_SPAWN_DUP2, out_read, 101),
                (os.POSIX_SPAWN_DUP2, in_write, 102),
                (os.POSIX_SPAWN_DUP2, 101, 3),
                (os.POSIX_SPAWN_DUP2, 102, 4),
                *((os.POSIX_SPAWN_DUP2, quiet, number) for number in (0, 1, 2)),
            ],
            setpgroup=0,
        )
        for number in (out_read, in_write, quiet):
            os.close(number)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._visits = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(1280, 900)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            left = until - time.monotonic()
            assert left > 0, "the browser does not answer"
            if select.select([self._read], [], [], left)[0]:
                data = os.read(self._read, 1 << 20)
                assert data, "the browser has ended"
                self._buffer += data
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.errors.append(f"dialog: {params['message']}")

    def open(self, path: Path, **view: str) -> None:
        """Open a report at a view, as a link to it would."""
        from urllib.parse import urlencode

        self.requests.clear()
        self.errors.clear()
        # another address: the page is read anew, and by the process that is already there
        self._visits += 1
        self.call("Page.navigate", url=f"{path.as_uri()}?{self._visits}#{urlencode(view)}")
        self.wait(
            "document.readyState === 'complete' && document.querySelector('#count').textContent"
        )

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """Wait until an expression is true, and give its value."""
        until = time.monotonic() + _SECONDS
        while not (value := self.run(f"(() => {{ try {{ return {script} }} catch {{}} }})()")):
            assert time.monotonic() < until, f"never true: {script}"
            select.select([], [], [], 0.02)
        return value

    def texts(self, selector: str) -> list[str]:
        """The visible text of all elements that a CSS selector finds."""
        found: list[str] = self.run(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText.trim())"
        )
        return found

    def text(self, selector: str) -> str:
        """The visible text of the first element."""
        return self.texts(selector)[0]

    def click(self, selector: str) -> None:
        """Click the middle of the first element, as a hand would."""
        self._mouse(selector, "mousePressed", "mouseReleased")

    def hover(self, selector: str) -> None:
        """Move the mouse over the first element."""
        self._mouse(selector)

    def _mouse(self, selector: str, *kinds: str) -> None:
        place = self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{ block: 'center' }}); const r = e.getClientRects()[0];
            return [r.left + r.width / 2, r.top + r.height / 2]; }})()"""
        )
        point = {"x": place[0], "y": place[1]}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **point)
        for kind in kinds:
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **point)

    def write(self, selector: str, text: str) -> None:
        """Type text into a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key."""
        code = _KEYS[key]
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            named["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{k: named[k] for k in ("key", "code")})

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def dark(self, is_dark: bool) -> None:
        """Prefer dark or light."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Keep a picture of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def print(self) -> bytes:
        """The page on paper, as a PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        until = time.monotonic() + 5
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.killpg(self._pid, signal.SIGKILL)
                until += 60
            select.select([], [], [], 0.02)
        os.close(self._read)
