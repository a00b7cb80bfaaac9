"""A stand-in for kube-apiserver, good enough for kube-proxy in a benchmark: python fake_api.py PORT
FILE. Serves what the file ({path: {"apiVersion", "kind", "items"}}) holds, to list and to get by
name; a watch stays open and tells nothing, for nothing changes."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

with open(sys.argv[2], encoding="utf-8") as file:
    LISTS = json.load(file)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, document):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code, reason):
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code,
                           "status": "Failure", "reason": reason, "message": reason})

    def watch(self, query):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        time.sleep(float(query.get("timeoutSeconds", ["300"])[0]))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        parent, _, name = url.path.rpartition("/")
        if url.path in LISTS and "sendInitialEvents" in query:
            return self.refuse(422, "Invalid")  # then the client lists
        if url.path in LISTS and query.get("watch", ["0"])[0] in ("1", "true"):
            return self.watch(query)
        if url.path in LISTS:
            return self.answer(200, LISTS[url.path] | {"metadata": {"resourceVersion": "1"}})
        for item in LISTS.get(parent, {}).get("items", []):
            if item["metadata"]["name"] == name:
                return self.answer(200, item)
        return self.refuse(404, "NotFound")

    def do_POST(self):
        """Events."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(201, json.loads(body or b"{}"))

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
