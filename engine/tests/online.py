"""A server of Weights & Biases with one run, as far as its client asks of it. What it has is in `history`.

Not covered: files and artifacts, which it takes and forgets, and every question but those the client asks here.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    def __init__(self):
        self.history: list[dict] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever)

    def take(self, body: dict) -> dict:
        """Lines of history, each at the offset that the client gives; what is there already is put in its place."""
        lines = body.get("files", {}).get("wandb-history.jsonl")
        if lines:
            self.history[lines["offset"] :] = [json.loads(line) for line in lines["content"]]
        return {}

    def answer(self, query: str, variables: dict) -> dict:
        if "RunResumeStatus" in query:
            return {"model": {"id": "p", **PROJECT, "bucket": self.run() if self.history else None}}
        if "UpsertBucket" in query:
            run = self.run() | {"project": {"id": "p", **PROJECT}}
            return {"upsertBucket": {"bucket": run, "inserted": not self.history}}
        if "CreateRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/file"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}

    def run(self) -> dict:
        last = [json.dumps(row) for row in self.history[-1:]]
        lines = {"historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0}
        tails = {"historyTail": json.dumps(last), "eventsTail": "[]", "summaryMetrics": "{}", "config": "{}"}
        return {"id": "r", "name": "r", "displayName": "m", **lines, **tails, "wandbConfig": '{"t": {"value": 1}}'}

    def __enter__(self) -> "Server":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


PROJECT = {"name": "p", "entity": {"id": "e", "name": "e"}}


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = json.loads(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            if "file_stream" in self.path:
                self.reply(server.take(asked))
            else:
                self.reply({"data": server.answer(asked.get("query", ""), asked.get("variables", {}))})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.reply({})

        def reply(self, body: dict) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
