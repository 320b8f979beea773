"""How does the page come to the browser, and what is pressed back to us? By HTTP at 127.0.0.1, and by nothing else.

    GET  /                  the page; /page.css and /page.js belong to it
    GET  /state?after=N     what it shows, as JSON; of what happened, the lines after number N
    POST /press/NAME        a button
    POST /strategy/NAME     another strategy

Only this page may press: a browser says from which page a request comes, and a name that somebody lets point to
127.0.0.1 is not this server's.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.local.demo.web.stage import Refused, Stage
from tests.local.servers.processes import LOOPBACK

_FOLDER = Path(__file__).parent
_FILES = {"/page.css": "text/css", "/page.js": "text/javascript"}
_DIGITS = 9
"""As many as the number of a line can have. Python makes no number of some thousands, and any page can ask."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def serving(stage: Stage) -> Iterator[str]:
    """Serve the page of a stage until the block ends; yield its address."""
    server = _Server((LOOPBACK, 0), _Handler)
    server.stage = stage
    server.place = f"{LOOPBACK}:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{server.place}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stage: Stage
    place: str

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that has gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; says nothing in the terminal."""

    server: _Server
    server_version, sys_version = "demo", ""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not self._is_ours():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "Open the address that the demo has printed.")
        elif address.path == "/":
            self._answer(HTTPStatus.OK, "text/html", _page(self.server.stage))
        elif address.path in _FILES:
            self._answer(HTTPStatus.OK, _FILES[address.path], (_FOLDER / address.path[1:]).read_text())
        elif address.path == "/state":
            after = parse_qs(address.query).get("after", ["0"])[0][:_DIGITS]
            self._answer_json(HTTPStatus.OK, self.server.stage.state(int(after) if after.isdecimal() else 0))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is no such page.")

    def do_POST(self) -> None:
        _, kind, name = ["", *self.path.split("/", 2)[1:], "", ""][:3]
        actions: dict[str, Callable[[str], None]] = {
            "press": self.server.stage.press,
            "strategy": self.server.stage.choose,
        }
        if not self._is_ours() or self.headers.get("Origin") != f"http://{self.server.place}":
            self._answer_json(HTTPStatus.FORBIDDEN, {"said": "Only the page itself can press its buttons."})
            return
        try:
            actions[kind](name)
        except LookupError:
            self._answer_json(HTTPStatus.NOT_FOUND, {"said": "There is no such button."})
        except Refused as error:
            self._answer_json(HTTPStatus.CONFLICT, {"said": str(error)})
        else:
            self._answer_json(HTTPStatus.OK, {"said": ""})

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is for what happens."""

    def _is_ours(self) -> bool:
        return self.headers.get("Host") == self.server.place

    def _answer_json(self, status: HTTPStatus, value: object) -> None:
        self._answer(status, "application/json", json.dumps(value))

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _page(stage: Stage) -> str:
    """Return the page, with the engine and its strategies."""
    engine = stage.engine
    buttons = [
        f'<button type="button" data-strategy="{strategy.name}" aria-pressed="false">{escape(strategy.title)}</button>'
        for strategy in engine.strategies
    ]
    lessons = [
        f'<p data-lesson="{strategy.name}" hidden>{escape(strategy.lesson)}</p>' for strategy in engine.strategies
    ]
    return Template((_FOLDER / "page.html").read_text()).substitute(
        engine=escape(engine.name),
        server=escape(engine.server),
        function=escape(engine.function),
        strategies="\n        ".join(buttons),
        lessons="\n      ".join(lessons),
    )
