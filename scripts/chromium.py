"""A headless Chromium over its debugging pipe, by the standard library alone: open a page, ask, look."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


# Moves the two ends of the pipes to descriptors 3 and 4, by way of high ones, for either may be 3 or 4 already.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Page:
    """One page in a fresh profile; ``messages``: what it wrote to the console, ``requests``: its loads."""

    def __init__(self, url: str, *, width: int, height: int, timeout: float = 60.0) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.timeout = timeout
        self._id = 0
        self._buffer = b""
        self._stack = ExitStack()
        try:
            self._start()
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._call(f"{domain}.enable")
            self.resize(width, height)
            self._call("Page.navigate", url=url)
            while (event := self._receive()).get("method") != "Page.loadEventFired":
                self._note(event)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Return once a JavaScript expression is true; TimeoutError if it does not become so."""
        deadline = time.monotonic() + self.timeout
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression} did not become true in {self.timeout} s; console: {self.messages}")
            time.sleep(0.1)

    def drag(self, *path: tuple[float, float]) -> None:
        """Press the mouse at the first point of the window, move it over the others and let it go at the last."""
        for kind, (x, y) in (
            ("mousePressed", path[0]),
            *(("mouseMoved", at) for at in path[1:]),
            ("mouseReleased", path[-1]),
        ):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def press(self, key: str) -> None:
        """Press a key of the keyboard, as ArrowLeft, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size; a narrow one is a phone's."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **screen)

    def dark(self) -> None:
        """Prefer the dark colour scheme from now on."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save the page, or what fits the window, as PNG."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _start(self) -> None:
        program = find()
        if program is None:
            raise FileNotFoundError(f"no Chromium found; looked for {', '.join(_NAMES)}")
        profile = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self._stack.callback(os.close, self._from)
        command = [program, *_FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(  # Chromium reads commands from descriptor 3 and answers on 4
            [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._stack.callback(os.close, self._to)
        self._session: str | None = None

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._id:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], self.timeout)
            piece = os.read(self._from, 1 << 20) if ready else b""
            if not piece:
                raise TimeoutError(f"Chromium did not answer in {self.timeout} s")
            self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(
                    f"{params['type']}: {[a.get('value', a.get('description')) for a in params['args']]}"
                )
            case "Runtime.exceptionThrown":
                self.messages.append(f"exception: {params['exceptionDetails']}")
            case "Log.entryAdded":
                self.messages.append(f"{params['entry']['level']}: {params['entry']['text']}")
            case "Page.javascriptDialogOpening":
                self.messages.append(f"dialog: {params['message']}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case _:
                pass
