"""A stand-in for a hub of data sets at the level of HTTP: one repository, its commits, tags and large files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """What the repository holds."""

    def __init__(self):
        self.endpoint = ""
        self.objects = {}
        """Large files by sha256."""
        self.commits = []
        """Each: path → bytes, or the sha256 of a large file."""
        self.tags = {}
        """Name → files of its commit."""
        self.num_uploads = 0
        self.refuse_upload = None
        """The number of an upload that is refused."""
        self.is_private = None

    @property
    def main(self):
        return self.commits[-1] if self.commits else {}

    def read(self, path, tag=None):
        found = (self.main if tag is None else self.tags[tag])[path]
        return self.objects[found] if isinstance(found, str) else found

    def size(self, found):
        return len(self.objects[found] if isinstance(found, str) else found)

    def commit(self, lines):
        files = dict(self.main)
        for line in map(json.loads, lines):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert value["oid"] in self.objects, "a commit names a large file that was never sent"
                files[value["path"]] = value["oid"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.commits.append(files)


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub's API does, as far as huggingface_hub asks."""

    def answer(self, value=None, status=200):
        data = json.dumps({} if value is None else value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        repository = "/api/datasets/acme/en-synth"
        if self.headers.get("Authorization") != "Bearer hf_test" and not path.startswith("/upload/"):
            return self.answer({"error": "Invalid credentials"}, 401)
        if path == "/api/repos/create":
            wanted = json.loads(body)
            hub.is_private = wanted.get("private") or wanted.get("visibility") == "private"
            return self.answer({"url": f"{hub.endpoint}/datasets/acme/en-synth"})
        if path == "/api/validate-yaml":
            return self.answer()
        if path == f"{repository}/tree/main":
            entries = [
                {"type": "file", "path": name, "size": hub.size(found), "oid": "0" * 40}
                for name, found in hub.main.items()
            ]
            return self.answer([*entries, {"type": "directory", "path": "data", "oid": "0" * 40}])
        if path == f"{repository}/preupload/main":
            files = json.loads(body)["files"]
            modes = ["lfs" if file["path"].startswith("data/") else "regular" for file in files]
            answers = [
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
                for file, mode in zip(files, modes, strict=True)
            ]
            return self.answer({"files": answers})
        if path == "/datasets/acme/en-synth.git/info/lfs/objects/batch":
            objects = []
            for found in json.loads(body)["objects"]:
                actions = {"upload": {"href": f"{hub.endpoint}/upload/{found['oid']}"}}
                objects.append({**found, **({} if found["oid"] in hub.objects else {"actions": actions})})
            return self.answer({"transfer": "basic", "objects": objects})
        if path.startswith("/upload/"):
            hub.num_uploads += 1
            if hub.num_uploads == hub.refuse_upload:
                return self.answer({"error": "no room"}, 400)
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/upload/")
            hub.objects[path.removeprefix("/upload/")] = body
            return self.answer()
        if path == f"{repository}/commit/main":
            hub.commit(body.splitlines())
            oid = f"{len(hub.commits):040x}"
            return self.answer({"commitUrl": f"{hub.endpoint}/datasets/acme/en-synth/commit/{oid}", "commitOid": oid})
        if path == f"{repository}/refs":
            tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": "0" * 40} for tag in hub.tags]
            return self.answer({"branches": [], "tags": tags, "converts": []})
        if path == f"{repository}/super-squash/main":
            hub.commits = [hub.main]
            return self.answer()
        if match := re.fullmatch(f"{repository}/tag/(.+)", path):
            if self.command == "DELETE":
                del hub.tags[match[1]]
            else:
                hub.tags[json.loads(body)["tag"]] = hub.main
            return self.answer()
        return self.answer({"error": f"the stand-in does not know {self.command} {path}"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = lambda self: self.handle_one()

    def log_message(self, *_):
        pass


@contextmanager
def serve_hub():
    """Run a hub until the end of the context."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = Hub()
    server.hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
