"""How is IBM's client used? In a few calls, each with types and a time limit.

This is the only module that imports ibm_db.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import ibm_db  # type: ignore[import-untyped] # a C extension without types; nobody publishes stubs

from rotation.deadline import within

READ_IN: Final = "ibm_db 3.3.0"
"""What is said here of the client was tried with this version, whose driver is 12.1.4."""

CODE = re.compile(r"SQLCODE=(-?\d+)\s*$")
STATE = re.compile(r"SQLSTATE=(\w{5})")
FRAME = re.compile(r"^.*?(?:\[[^\]]*\]\s*)+|\s*SQLSTATE=\w{5}\s+SQLCODE=-?\d+\s*$", re.DOTALL)
"""What the client writes around a message: `Fetch Failure: [IBM][CLI Driver][DB2/LINUXX8664] … SQLSTATE=42501
SQLCODE=-551`."""

os.environ["DB2_MAX_CLIENT_CONNRETRIES"] = "0"
"""Without this, a client that loses its connection goes on at any address that the server has named (automatic client
reroute, tried with 12.1.4; https://www.ibm.com/docs/en/db2/12.1.0?topic=support-db2-connect-server-sysplex names this
variable). It has no effect on the next login: see docs/threat-model.md."""

CLIENT_CODE: Final = -99999
"""The code of errors that the client finds by itself. Only the SQLSTATE tells which error it is."""

type Row = dict[str, Any]
"""Columns by their name, as the server spells it."""


class ServerError(Exception):
    """The server, or the client, refused a call."""

    def __init__(self, message: str) -> None:
        code, state = CODE.search(message), STATE.search(message)
        self.code = int(code[1]) if code else CLIENT_CODE
        self.state = state[1] if state else ""
        self.text = FRAME.sub("", message).strip()
        super().__init__(self.code, self.state)


class ClientConnection:
    """A connection of the client, in one transaction until it is committed.

    Its methods raise ServerError, and TimeoutError if a call takes longer than the given seconds.
    """

    def __init__(self, handle: object) -> None:
        self._handle: object | None = handle

    def execute(self, statement: str, parameters: Sequence[str], seconds: float) -> list[Row]:
        """Run one statement and return its rows. The parameters are bound: no text of a statement holds a value."""
        handle = self._handle
        return self._within(seconds, lambda: _execute(handle, statement, parameters, seconds))

    def call(self, procedure: str, parameters: Sequence[object], seconds: float) -> Sequence[Any]:
        """Call a procedure that returns values in its parameters; return all of them after the call."""
        handle = self._handle

        def run() -> list[Any]:
            prepared, *values = ibm_db.callproc(handle, procedure, tuple(parameters))
            ibm_db.free_stmt(prepared)
            return list(values)

        return self._within(seconds, run)

    def server(self, seconds: float) -> tuple[str, str]:
        """Return what the server is, and its version: `DB2/LINUXX8664` and `11.05.0800`. The login told the client."""
        handle = self._handle
        names = ibm_db.SQL_DBMS_NAME, ibm_db.SQL_DBMS_VER
        name, version = self._within(seconds, lambda: [str(ibm_db.get_db_info(handle, each)) for each in names])
        return name, version

    def commit(self, seconds: float) -> None:
        """Commit the transaction."""
        handle = self._handle
        self._within(seconds, lambda: ibm_db.commit(handle))

    def rollback(self, seconds: float) -> None:
        """Roll the transaction back."""
        handle = self._handle
        self._within(seconds, lambda: ibm_db.rollback(handle))

    def close(self, seconds: float) -> None:
        """Roll back what is not committed and log off; wait at most so long for the server."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(ServerError, TimeoutError):
                _within(max(0.0, seconds), lambda: ibm_db.close(handle))

    def _within[T](self, seconds: float, work: Callable[[], T]) -> T:
        try:
            return _within(seconds, work)
        except TimeoutError:
            self._handle = None  # another thread still uses it
            raise


def connect(keywords: str, seconds: float) -> ClientConnection:
    """Log in; `keywords` is a connection string. Raises ServerError or TimeoutError."""
    options = {ibm_db.SQL_ATTR_AUTOCOMMIT: ibm_db.SQL_AUTOCOMMIT_OFF}
    return ClientConnection(_within(seconds, lambda: ibm_db.connect(keywords, "", "", options), _hang_up))


def _execute(handle: object, statement: str, parameters: Sequence[str], seconds: float) -> list[Row]:
    prepared = ibm_db.prepare(handle, statement)
    try:
        # The server's limit is shorter than ours, so that its error arrives and says why.
        ibm_db.set_option(prepared, {ibm_db.SQL_ATTR_QUERY_TIMEOUT: max(1, int(seconds) - 1)}, 0)
        for number, value in enumerate(parameters, 1):
            _bind(prepared, number, value)
        ibm_db.execute(prepared)
        rows = []
        if ibm_db.num_fields(prepared):
            while row := ibm_db.fetch_assoc(prepared):
                rows.append(row)
        return rows
    finally:
        # A statement that outlives its connection frees another one when it is collected (seen).
        ibm_db.free_stmt(prepared)


def _bind(prepared: object, number: int, value: str) -> None:
    """Give a parameter its value.

    Without a size and a scale, the client asks the server for the type, and sends the statement only then. What it
    sends does not depend on the size, and is the same as after that question (tried with 12.1.4).
    """
    size, scale = 255, 0
    ibm_db.bind_param(prepared, number, value, ibm_db.SQL_PARAM_INPUT, ibm_db.SQL_VARCHAR, size, scale)


def _within[T](seconds: float, work: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Return what `work` returns; raises ServerError or TimeoutError.

    The client's own limits do not cover its TLS handshake: it waits forever for a server that stays silent (tried with
    12.1.4, with ConnectTimeout, ReceiveTimeout and SQL_ATTR_LOGIN_TIMEOUT).
    """

    def attempt() -> tuple[T] | str:
        try:
            return (work(),)
        except Exception as error:  # noqa: BLE001 - the client raises nothing more precise
            return str(error)  # the error itself would keep a statement alive that was freed

    outcome = within(seconds, attempt, lambda late: None if isinstance(late, str) else discard(late[0]))
    if isinstance(outcome, str):
        raise ServerError(outcome)
    return outcome[0]


def _hang_up(handle: object) -> None:
    """Close a connection that was opened too late."""
    with suppress(Exception):
        ibm_db.close(handle)
