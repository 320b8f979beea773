"""How is IBM's client used? By these few calls, each of which has types, and ends in time."""

import os
import queue
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ibm_db  # type: ignore[import-untyped] # a C extension without types; nobody publishes stubs

CODE = re.compile(r"SQLCODE=(-?\d+)\s*$")
STATE = re.compile(r"SQLSTATE=(\w{5})")
FRAME = re.compile(r"^.*?(?:\[[^\]]*\]\s*)+|\s*SQLSTATE=\w{5}\s+SQLCODE=-?\d+\s*$", re.DOTALL)
"""What stands around a message: `Fetch Failure: [IBM][CLI Driver][DB2/LINUXX8664] … SQLSTATE=42501 SQLCODE=-551`."""

os.environ["DB2_MAX_CLIENT_CONNRETRIES"] = "0"
"""Where a connection is lost, the client would go on at any place that the server has named (automatic client reroute,
tried with 12.1.4; https://www.ibm.com/docs/en/db2/12.1.0?topic=support-db2-connect-server-sysplex names this variable).
It says nothing about the next login: see docs/threat-model.md."""

OWN_CODE = -99999
"""The code of an error that the client has found itself: only its SQLSTATE tells which."""


type Row = dict[str, Any]
"""Columns by their name, as the server spells it."""


class ClientError(Exception):
    """The server, or the client, refused a call."""

    def __init__(self, message: str) -> None:
        code, state = CODE.search(message), STATE.search(message)
        self.code = int(code[1]) if code else OWN_CODE
        self.state = state[1] if state else ""
        self.text = FRAME.sub("", message).strip()
        super().__init__(self.code, self.state)


class Connection:
    """A connection, in one transaction until it is committed."""

    def __init__(self, handle: object) -> None:
        self._handle: object | None = handle

    def execute(self, statement: str, parameters: Sequence[object], seconds: float) -> list[Row]:
        """Run one statement and return its rows; raises ClientError or TimeoutError.

        The parameters are bound: no text of a statement holds a value.
        """
        handle = self._handle

        def run() -> list[Row]:
            prepared = ibm_db.prepare(handle, statement)
            try:
                # The server is to give up before the client does, and to say why.
                ibm_db.set_option(prepared, {ibm_db.SQL_ATTR_QUERY_TIMEOUT: max(1, int(seconds) - 1)}, 0)
                ibm_db.execute(prepared, tuple(parameters)) if parameters else ibm_db.execute(prepared)
                rows = []
                if ibm_db.num_fields(prepared):
                    while row := ibm_db.fetch_assoc(prepared):
                        rows.append(row)
                return rows
            finally:
                # One that outlives its connection takes another one's place with it when it is collected (seen).
                ibm_db.free_stmt(prepared)

        return self._within(seconds, run)

    def call(self, procedure: str, parameters: Sequence[object], seconds: float) -> Sequence[Any]:
        """Call a procedure that returns values in its parameters; return all of them after the call."""
        handle = self._handle

        def run() -> list[Any]:
            prepared, *values = ibm_db.callproc(handle, procedure, tuple(parameters))
            ibm_db.free_stmt(prepared)
            return list(values)

        return self._within(seconds, run)

    def commit(self, seconds: float) -> None:
        """End the transaction well."""
        handle = self._handle
        self._within(seconds, lambda: ibm_db.commit(handle))

    def rollback(self, seconds: float) -> None:
        """Take the transaction back."""
        handle = self._handle
        self._within(seconds, lambda: ibm_db.rollback(handle))

    def close(self, seconds: float) -> None:
        """Take back what is not committed, and say goodbye, if the server still listens; wait for that so long."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(ClientError, TimeoutError):
                _within(max(0.0, seconds), lambda: ibm_db.close(handle))

    def _within[T](self, seconds: float, call: Callable[[], T]) -> T:
        try:
            return _within(seconds, call)
        except TimeoutError:
            self._handle = None  # another thread still waits in it
            raise


def connect(keywords: str, seconds: float) -> Connection:
    """Log in; `keywords` is a connection string. Raises ClientError or TimeoutError."""
    options = {ibm_db.SQL_ATTR_AUTOCOMMIT: ibm_db.SQL_AUTOCOMMIT_OFF}
    return Connection(_within(seconds, lambda: ibm_db.connect(keywords, "", "", options)))


def _within[T](seconds: float, call: Callable[[], T]) -> T:
    """Return what the call returns; raises TimeoutError where that takes longer.

    The client's own limits leave something out: against a server that says nothing, its TLS handshake waits for ever
    (tried with 12.1.4, with ConnectTimeout, ReceiveTimeout and SQL_ATTR_LOGIN_TIMEOUT). A thread cannot be stopped, so
    one that waits is left alone: a daemon, for which no process waits when it ends.
    """
    answers: queue.SimpleQueue[tuple[T] | str] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((call(),))
        except Exception as error:  # noqa: BLE001 - the client raises nothing more precise
            answers.put(str(error))  # not the error itself, which would keep alive what is freed here

    threading.Thread(target=answer, daemon=True).start()
    try:
        outcome = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(outcome, str):
        raise ClientError(outcome)
    return outcome[0]
