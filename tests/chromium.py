"""A headless Chromium, spoken to through its debugging pipe: JSON messages that end with a zero byte."""

import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium():
    """Return the browser's path, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """One browser with one page; `problems` are what its console complained about."""

    def __init__(self, folder, url, timeout_s=60):
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        to_read, to_browser = os.pipe()
        from_browser, to_write = os.pipe()

        def connect():
            os.dup2(os.dup(to_read), 3)
            os.dup2(os.dup(to_write), 4)

        command = [
            find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--mute-audio", "--no-first-run", "--disable-extensions", "--disable-background-networking",
            "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank",
        ]  # fmt: skip
        with open(f"{folder}.log", "wb") as log:
            self.process = subprocess.Popen(command, close_fds=False, preexec_fn=connect, stdout=log, stderr=log)
        os.close(to_read)
        os.close(to_write)
        self.to_browser, self.from_browser = to_browser, from_browser
        self.received, self.last_id, self.session, self.problems, self.is_loaded = b"", 0, None, [], False
        (page,) = [found for found in self.call("Target.getTargets")["targetInfos"] if found["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.open(url)

    def open(self, url):
        """Go to another page; what the console complained about until then is forgotten."""
        self.problems, self.is_loaded = [], False
        self.call("Page.navigate", url=url)
        while not self.is_loaded:
            self._read()

    def look(self, width=1280, scheme="light"):
        """Set the width of the screen in CSS pixels, and whether it is light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def wait_for(self, condition):
        """Wait until a JavaScript expression is true."""
        self.evaluate(f"(async () => {{ while (!({condition})) await new Promise(done => setTimeout(done, 20)); }})()")

    def evaluate(self, expression):
        """Run JavaScript as if a person had clicked, wait for it, and return its value."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, method, **params):
        self.deadline = time.monotonic() + self.timeout_s
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _read(self):
        while b"\0" not in self.received:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.from_browser], [], [], left)[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.from_browser, 1 << 20)
            assert piece, "Chromium ended"
            self.received += piece
        line, _, self.received = self.received.partition(b"\0")
        message = json.loads(line)
        method, params = message.get("method"), message.get("params", {})
        self.is_loaded |= method == "Page.loadEventFired"
        if method == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["text"])
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        if method == "Runtime.consoleAPICalled":
            self.problems.append(params["type"])
        return message

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)
