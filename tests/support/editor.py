"""A client of the language server: the real process, spoken to in JSON-RPC over its standard input and output."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds until an answer is given up; a test never depends on how long one takes."""
ROOT = Path(__file__).resolve().parents[2]

Json = dict[str, Any]


class RefusedError(Exception):
    """The server answered with an error."""


class Editor:
    """One server and what it said."""

    def __init__(
        self, root: Path, options: Mapping[str, Any] | None = None, **capabilities: Any
    ) -> None:
        environment = {**os.environ, "HAWQ_CACHE": str(root / ".cache"), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'codegen'}"
        with (root / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hawqlang", "lsp"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=root,
            )
        self.root = root
        self._answers: queue.Queue[Json] = queue.Queue()
        self._told: queue.Queue[Json] = queue.Queue()
        self._next = 0
        self._versions: dict[str, int] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.capabilities: Json = self.ask(
            "initialize",
            processId=os.getpid(),
            rootUri=root.as_uri(),
            workspaceFolders=[{"uri": root.as_uri(), "name": root.name}],
            capabilities=capabilities,
            initializationOptions=dict(options or {}),
        )["capabilities"]
        self.tell("initialized")

    # ---- messages --------------------------------------------------------------------------------

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = stream.readline()
            message: Json = json.loads(stream.read(length))
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": None})
            elif "method" in message:
                self._told.put(message)
            else:
                self._answers.put(message)

    def _send(self, message: Json) -> None:
        stream = self._process.stdin
        assert stream is not None
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        stream.flush()

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        """Return the answer to a request."""
        self._next += 1
        number = self._next
        self._send({"id": number, "method": method, "params": params})
        while True:
            answer = self._answers.get(timeout=PATIENCE)
            if answer["id"] != number:
                continue
            if "error" in answer:
                raise RefusedError(answer["error"]["message"])
            return answer["result"]

    def stop(self) -> int:
        """End the server and return its status."""
        self.ask("shutdown")
        self._send({"method": "exit"})
        return self.leave()

    def leave(self) -> int:
        """Close the connection without a word, and return the server's status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    # ---- documents -------------------------------------------------------------------------------

    def uri(self, name: str) -> str:
        """Return the address of a file."""
        return (self.root / name).as_uri()

    def open(self, name: str, text: str) -> str:
        """Open a document, which need not be on disk, and return its address."""
        uri = self.uri(name)
        self._versions[uri] = 1
        document = {"uri": uri, "languageId": "hawq", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        return uri

    def edit(self, uri: str, *changes: Json) -> int:
        """Send edits and return the new version."""
        self._versions[uri] += 1
        document = {"uri": uri, "version": self._versions[uri]}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=list(changes))
        return self._versions[uri]

    def close(self, uri: str) -> None:
        """Close a document."""
        self.tell("textDocument/didClose", textDocument={"uri": uri})

    def at(self, method: str, uri: str, position: tuple[int, int], **more: Any) -> Any:
        """Return the answer to a request about a position."""
        line, character = position
        return self.ask(
            f"textDocument/{method}",
            textDocument={"uri": uri},
            position={"line": line, "character": character},
            **more,
        )

    def about(self, method: str, uri: str, **more: Any) -> Any:
        """Return the answer to a request about a document."""
        return self.ask(f"textDocument/{method}", textDocument={"uri": uri}, **more)

    def findings(self, uri: str, version: int | None = 1) -> list[Json]:
        """Return the next findings of a version of a document."""
        while True:
            message = self._told.get(timeout=PATIENCE)
            params = message["params"]
            if message["method"] != "textDocument/publishDiagnostics" or params["uri"] != uri:
                continue
            if params.get("version") == version:
                return params["diagnostics"]


def position(text: str, needle: str, inside: int = 0) -> tuple[int, int]:
    """Return line and UTF-16 character of a place in a text: where ``needle`` starts, and some characters more."""
    before = text[: text.index(needle) + inside]
    line = before.count("\n")
    tail = before[before.rfind("\n") + 1 :]
    return line, len(tail.encode("utf-16-le")) // 2


def applied(text: str, edits: list[Json]) -> str:
    """Return a text with an answer's edits applied."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def offset(place: Json) -> int:
        if place["line"] >= len(lines):
            return len(text)
        line: bytes = lines[place["line"]].encode("utf-16-le")[: 2 * place["character"]]
        return starts[place["line"]] + len(line.decode("utf-16-le"))

    ranges = [(offset(e["range"]["start"]), offset(e["range"]["end"]), e["newText"]) for e in edits]
    for start, end, new in sorted(ranges, reverse=True):
        text = text[:start] + new + text[end:]
    return text
