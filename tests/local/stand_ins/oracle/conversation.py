"""How does the stand-in for Oracle answer one client, message by message?"""

import re
import secrets
import threading
from dataclasses import dataclass, field

from tests.local.stand_ins.oracle import wire
from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.listener import Listener
from tests.local.stand_ins.oracle.logins import log_in
from tests.local.stand_ins.oracle.packets import Packets
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader, tokens
from tests.local.stand_ins.oracle.statements import Result, Session
from tests.local.stand_ins.oracle.wire import Challenge, Closed, Reading, Writer

SERVICE = re.compile(rb"\(SERVICE_NAME=([^)]*)\)", re.IGNORECASE)
SID = re.compile(rb"\(SID=([^)]*)\)", re.IGNORECASE)
NO_SUCH_SERVICE, NO_SUCH_SID = 12514, 12505


@dataclass
class Conversation:
    """One connection."""

    packets: Packets
    listener: Listener
    lock: threading.RLock
    database: Database = field(init=False, repr=False)
    session: Session | None = None
    key: bytes = b""
    name: str = ""
    is_authenticated: bool = False
    """Whether the client has sent a password, right or wrong."""
    program: str = ""
    challenge: Challenge = field(default_factory=Challenge)
    cursors: dict[int, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    waiting: dict[int, Result] = field(default_factory=dict)
    """The rows that were not fetched yet."""

    def run(self) -> None:
        """Answer until the client hangs up."""
        if not self._accept():
            return
        while True:
            message = Reading(self.packets.receive())
            with self.lock:
                answer = self._answer(message)
            if answer is None:
                return
            if self.is_authenticated and not self.session:
                threading.Event().wait(self.database.withheld)
            if self._hangs(message):
                self.packets.be_interrupted()
                answer = Writer().ending(1013, "ORA-01013: user requested cancel of current operation\n")
            self.packets.send(wire.DATA, b"\0\0" + answer.data)

    def _hangs(self, message: Reading) -> bool:
        return any(statement.encode() in message.data for statement in self.database.hanging)

    def _accept(self) -> bool:
        """Connect as the listener does; return False if it refuses."""
        length = int.from_bytes(self.packets.exactly(2), "big")
        if length < wire.HEADER:
            return False
        packet = self.packets.exactly(length - 2)
        text = packet
        if int.from_bytes(packet[22:24], "big") > 230:  # long connect data has a packet of its own
            text += self.packets.exactly(int.from_bytes(self.packets.exactly(2), "big") - 2)
        if packet[2] != wire.CONNECT:
            return False
        service, sid = SERVICE.search(text), SID.search(text)
        if self.listener.refuses:
            return self._refuse(self.listener.refuses)
        if service:
            found = self.listener.choose(service[1].decode())
        else:
            found = next((one for one in self.listener.databases() if sid and one.sid == sid[1].decode().upper()), None)
        if not found:
            return self._refuse(NO_SUCH_SERVICE if service else NO_SUCH_SID)
        self.database = found
        payload = wire.PROTOCOL_VERSION.to_bytes(2, "big") + bytes(2 + 10 + 1 + 9) + wire.LARGEST.to_bytes(4, "big")
        header = (len(payload) + wire.HEADER).to_bytes(2, "big") + bytes([0, 0, wire.ACCEPT, 0, 0, 0])
        self.packets.sock.sendall(header + payload)
        return True

    def _refuse(self, number: int) -> bool:
        text = f"(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR={number})(ERROR_STACK=(ERROR=(CODE={number})(EMFI=4))))".encode()
        payload = bytes([34, 0]) + len(text).to_bytes(2, "big") + text
        header = (len(payload) + wire.HEADER).to_bytes(2, "big") + bytes([0, 0, wire.REFUSE, 0, 0, 0])
        self.packets.sock.sendall(header + payload)
        return False

    # Messages

    def _answer(self, message: Reading) -> Writer | None:
        kind = message.byte()
        if kind == wire.PROTOCOL:
            return wire.protocol()
        if kind == wire.DATA_TYPES:
            return Writer().raw(wire.DATA_TYPES, 0, 0)
        while kind == wire.PIGGYBACK:
            self._piggyback(message)
            kind = message.byte()
        if kind != wire.FUNCTION:
            raise Closed
        function = message.byte()
        message.byte()  # the number of the call
        try:
            return self._call(function, message)
        except OracleError as error:
            return Writer().ending(error.number, f"{error}\n")

    def _piggyback(self, message: Reading) -> None:
        function = message.byte()
        message.byte()
        if function != wire.CLOSE_CURSORS:
            raise Closed
        message.byte()
        for cursor in message.numbers(message.number()):
            self.cursors.pop(cursor, None)
            self.waiting.pop(cursor, None)

    def _call(self, function: int, message: Reading) -> Writer | None:  # noqa: PLR0911 - one return for each function
        if function == wire.CHALLENGE:
            return self._challenge(message)
        if function == wire.AUTHENTICATE:
            return self._authenticate(message)
        if function == wire.LOG_OFF:
            self.session = None
            return Writer().status()
        if not self.session:
            raise Closed
        if function in (wire.COMMIT, wire.ROLLBACK):
            (self.session.commit if function == wire.COMMIT else self.session.rollback)()
            return Writer().status()
        if function == wire.PING:
            return Writer().status()
        if function == wire.EXECUTE:
            return self._execute(self.session, message)
        if function in (wire.REEXECUTE, wire.REEXECUTE_AND_FETCH):
            return self._execute_again(self.session, message)
        if function == wire.FETCH:
            cursor, most = message.numbers(2)
            return self._rows(cursor, self.waiting.pop(cursor, Result()), most, Writer())
        raise Closed

    def _login(self, message: Reading) -> tuple[str, int, dict[str, str]]:
        has_user = message.byte()
        _, mode = message.numbers(2)
        message.byte()
        count = message.number()
        message.raw(2)
        name = message.short().decode() if has_user else ""
        return name, mode, message.pairs(count)

    def _challenge(self, message: Reading) -> Writer:
        text, _, pairs = self._login(message)
        self.name, self.program = Reader(text).identifier(), pairs.get("AUTH_PROGRAM_NM", "")
        return Writer().pairs(self.challenge.pairs()).status()

    def _authenticate(self, message: Reading) -> Writer:
        _, mode, pairs = self._login(message)
        if mode & wire.CHANGES_PASSWORD and self.session:
            old, new = (opened for opened in map(self._opened, (pairs["AUTH_PASSWORD"], pairs["AUTH_NEWPASSWORD"])))
            self.session.change_password(old or "", new or "")
            return Writer().pairs([]).status()
        self.is_authenticated, accepted = True, []
        for password in self.database.passwords(self.name):
            key = self.challenge.session_key(password, pairs["AUTH_SESSKEY"])
            if wire.opened(key, pairs["AUTH_PASSWORD"]) == password:
                self.key, accepted = key, [password]
        new = self._opened(pairs["AUTH_NEWPASSWORD"]) if accepted and mode & wire.CHANGES_PASSWORD else None
        warning = log_in(self.database, self.name, accepted, new)
        self.session = self._session()
        self.listener.sessions.append(self.session)
        self.session.begin()
        writer = Writer()
        if warning:
            writer.raw(wire.WARNING).number(int(warning[4:9]), len(warning), 0).short(warning.encode())
        return writer.pairs(self._welcome()).status()

    def _session(self) -> Session:
        if self.name in self.database.enterprise:
            schema = self.database.enterprise[self.name][1]
            return Session(self.database, schema, schema, program=self.program, identification="GLOBAL SHARED")
        return Session(self.database, self.name, self.name, program=self.program)

    def _opened(self, secret: str) -> str | None:
        return wire.opened(self.key, secret)

    def _welcome(self) -> list[tuple[str, str, int]]:
        major, minor, patch, build, last = self.database.version
        number = major << 24 | minor << 16 | patch << 12 | build << 4 | last
        proof = wire.encrypted(self.key, secrets.token_bytes(16) + b"SERVER_TO_CLIENT")
        return [
            ("AUTH_VERSION_NO", str(number), 0),
            ("AUTH_SESSION_ID", "100", 0),
            ("AUTH_SERIAL_NUM", "1", 0),
            ("AUTH_SVR_RESPONSE", proof.hex().upper(), 0),
            ("AUTH_SC_SERVICE_NAME", self.database.service, 0),
            ("AUTH_SC_DBUNIQUE_NAME", self.database.sid, 0),
            ("AUTH_INSTANCENAME", self.database.sid, 0),
            ("AUTH_SC_DB_DOMAIN", "", 0),
            ("AUTH_MAX_OPEN_CURSORS", "300", 0),
            ("AUTH_MAX_IDEN_LENGTH", "128", 0),
        ]

    # Statements

    def _execute(self, session: Session, message: Reading) -> Writer:
        _, cursor = message.numbers(2)
        parses = message.byte()
        message.number()
        message.byte()
        message.number()
        message.raw(2)
        _, rows, _ = message.numbers(3)
        message.byte()
        count = message.number()
        message.raw(5)
        message.byte()
        message.numbers(2)
        message.raw(3)
        message.number()
        message.byte()
        message.numbers(2)
        message.byte()
        message.number()
        message.byte()
        # With the fields of 12.2
        message.byte()
        message.number()
        message.byte()
        message.number()
        message.byte()
        message.byte()
        message.number()
        statement = message.short().decode() if parses else self.cursors[cursor][0]
        message.numbers(13)
        kinds = tuple(_bind(message) for _ in range(count)) or self.cursors.get(cursor, ("", ()))[1]
        values = self._values(message, kinds)
        cursor = cursor or max(self.cursors, default=0) + 1
        self.cursors[cursor] = (statement, kinds)
        return self._run(session, cursor, values, rows)

    def _execute_again(self, session: Session, message: Reading) -> Writer:
        cursor, rows, _, _ = message.numbers(4)
        return self._run(session, cursor, self._values(message, self.cursors[cursor][1]), rows)

    def _values(self, message: Reading, kinds: tuple[int, ...]) -> list[str | None]:
        if not kinds or message.at_end:
            return []
        message.byte()  # ROW_DATA
        return [message.short().decode() or None for _ in kinds]

    def _run(self, session: Session, cursor: int, values: list[str | None], rows: int) -> Writer:
        statement = self.cursors[cursor][0]
        names = _bind_names(statement)
        if len(names) != len(values):
            raise OracleError(1008, "not all variables bound")
        result = session.execute(statement, dict(zip(names, values, strict=True)))
        if not result.columns:
            return Writer().ending(cursor=cursor)
        kinds = [
            wire.NUMBER if any(isinstance(row[place], int) for row in result.rows) else wire.VARCHAR
            for place in range(len(result.columns))
        ]
        return self._rows(cursor, result, rows, wire.described(result.columns, kinds))

    def _rows(self, cursor: int, result: Result, most: int, writer: Writer) -> Writer:
        now, later = result.rows[:most], result.rows[most:]
        if now:
            writer.raw(wire.ROW_HEADER, 0).number(0, 0, 0, 0, 0, 0)
        for row in now:
            writer.raw(wire.ROW_DATA)
            for value in row:
                text = wire.encoded_number(value) if isinstance(value, int) else (value or "").encode()
                writer.short(text)
        if later:
            self.waiting[cursor] = Result(result.columns, later)
            return writer.ending(rows=len(now), cursor=cursor)
        return writer.ending(wire.NO_DATA, "ORA-01403: no data found\n", rows=len(now), cursor=cursor)


def _bind_names(statement: str) -> list[str]:
    """Return the names of bind variables as the client sends their values: once each in a block."""
    found = tokens(statement)
    names = [token.value.upper() for token in found if token.kind is Kind.BIND]
    return list(dict.fromkeys(names)) if found and found[0].value == "BEGIN" else names


def _bind(message: Reading) -> int:
    kind = message.byte()
    message.raw(3)
    message.numbers(6)
    message.byte()
    message.numbers(2)
    return kind
