#!/usr/bin/env python3
"""A stand-in for a schema registry: registry.py PORT serves fixtures/registry.jsonl on 127.0.0.1 (PORT 0: any; it
is printed)."""
import http.server
import json
import os
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "fixtures", "registry.jsonl"), encoding="utf-8") as f:
    ANSWERS = {row["path"]: row["answer"] for row in map(json.loads, f)}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = ANSWERS.get(urllib.parse.unquote(self.path))
        body = json.dumps(answer or {"error_code": 40403, "message": "not found"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry)
print(server.server_address[1], flush=True)
server.serve_forever()
