"""How does the stand-in for Db2 talk to IBM's own client, over TCP and TLS?

The rules are in `database` and `session`, the protocol is in `wire`. The client is real. The server is written from
documentation, and proves nothing that the documentation leaves out.
"""

import contextlib
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.local.servers import certificates
from tests.local.stand_ins.db2 import wire as drda
from tests.local.stand_ins.db2.answer import Answer, Prepared
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.session import Session
from tests.local.stand_ins.db2.wire import OBJECT, REPLY, Code, Command, diagnosis, number, pack

DATABASE = "TESTDB"
MASTER = "admin"

WRONG_PASSWORD, WRONG_USER, EXPIRED, DISABLED, NEW_PASSWORD_INVALID = 0x0F, 0x13, 0x0E, 0x14, 0x15
"""The values of SECCHKCD. The client reports the first two as one error."""

CLEAR, CLEAR_WITH_NEW = b"\0\3", b"\0\5"
"""The login methods: the password in clear, inside TLS unless the secret says otherwise. The client asks for encryption
first."""

VERSION = "SQL11058"
LICENSES = b"DB2LIC"
NO_PACKAGE = -805

TLS_HANDSHAKE = b"\x16"

type Reply = tuple[int, bytes]


@dataclass(frozen=True)
class Server:
    """A running server."""

    host: str
    port: int
    """One port with and without TLS. RDS has two."""
    ca_bundle: Path
    master: str
    password: str
    database: str
    instance: Instance


@contextmanager
def start(directory: Path) -> Iterator[Server]:
    """Run a server with a master user and a database."""
    issued = certificates.issue(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    password = secrets.token_urlsafe()
    instance = Instance(directory, MASTER, password, [DATABASE])
    with socket.create_server((certificates.HOST_NAME, 0)) as listener:
        _serve(listener, instance, context)
        yield Server(
            host=certificates.HOST_NAME,
            port=int(listener.getsockname()[1]),
            ca_bundle=issued.ca,
            master=MASTER,
            password=password,
            database=DATABASE,
            instance=instance,
        )


def _serve(listener: socket.socket, instance: Instance, context: ssl.SSLContext) -> None:
    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:  # the listener is closed
                return
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    def talk(sock: socket.socket) -> None:
        with contextlib.suppress(OSError, drda.ProtocolError), sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sock.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                with context.wrap_socket(sock, server_side=True) as protected:
                    _Conversation(instance, protected).run()
            else:
                _Conversation(instance, sock).run()

    threading.Thread(target=accept, daemon=True).start()


@dataclass
class _Conversation:
    """One connection."""

    instance: Instance
    sock: socket.socket
    username: str = ""
    session: Session | None = None
    statements: dict[bytes, Prepared] = field(default_factory=dict)

    def run(self) -> None:
        """Answer until the client hangs up, then roll back what is not committed."""
        try:
            for chain in drda.commands(self.sock):
                replies: list[tuple[int, int, bytes]] = []
                failed = False
                for command in chain:
                    # After an error, the rest of the same chain is not executed.
                    answers = self._skipped(command) if failed else self._answer(command)
                    replies += [(kind, command.correlation, body) for kind, body in answers]
                    failed = failed or any(_is_error(body) for _, body in answers)
                if replies:
                    drda.send(self.sock, replies)
                if not all(command.wants_reply for command in chain) or (failed and not self.session):
                    return
        finally:
            if self.session:
                self.session.store.close()

    def _answer(self, command: Command) -> list[Reply]:
        login_commands: dict[int, Callable[[Command], list[Reply]]] = {
            Code.EXCSAT: _attributes,
            Code.ACCSEC: self._login_methods,
            Code.SECCHK: self._log_in,
            Code.ACCRDB: self._enter,
            Code.DISCONNECT: lambda _: [],
        }
        statement_commands: dict[int, Callable[[Command, Session], list[Reply]]] = {
            Code.RDBCMM: self._end,
            Code.RDBRLLBCK: self._end,
            Code.EXCSQLSET: self._set,
            Code.PRPSQLSTT: self._prepare,
            Code.DSCSQLSTT: self._describe,
            Code.OPNQRY: self._open,
            Code.EXCSQLSTT: self._execute,
        }
        try:
            if answer := login_commands.get(command.code):
                return answer(command)
            if self.session and (act := statement_commands.get(command.code)):
                return act(command, self.session)
        except Db2Error as error:
            return [_card(error)]
        raise drda.ProtocolError(f"command {command.code:#x}")

    def _end(self, command: Command, session: Session) -> list[Reply]:
        commits = command.code == Code.RDBCMM
        (session.commit if commits else session.rollback)()
        done = pack(Code.UOWDSP, b"\1" if commits else b"\2")
        return [(REPLY, pack(Code.ENDUOWRM, number(Code.SVRCOD, 4), done)), _card()]

    def _set(self, command: Command, session: Session) -> list[Reply]:
        session.prepare(command.statement, is_clients_own=True).run(())
        return [_card()]

    def _prepare(self, command: Command, session: Session) -> list[Reply]:
        prepared = session.prepare(command.statement)
        self.statements[command.section] = prepared
        return [_described(prepared.columns) if prepared.columns else _card()]

    def _describe(self, command: Command, _: Session) -> list[Reply]:
        return [_described(self.statements[command.section].parameters)]

    def _login_methods(self, command: Command) -> list[Reply]:
        wanted = command.parameters[Code.SECMEC]
        known = CLEAR + (CLEAR_WITH_NEW if self.instance.changes_passwords else b"")
        methods = {known[at : at + 2] for at in range(0, len(known), 2)}
        return [(REPLY, pack(Code.ACCSECRD, pack(Code.SECMEC, wanted if wanted in methods else known)))]

    def _log_in(self, command: Command) -> list[Reply]:
        name, password = (command.parameters[code].decode() for code in (Code.USRID, Code.PASSWORD))
        instance = self.instance
        with instance.lock:
            instance.run_tasks()
            refusal = self._refusal(name, password, command.parameters.get(Code.NEWPASSWORD))
            instance.tried += 1
            instance.refused += bool(refusal)
            instance.log.append(f"login of {name}: {refusal}")
        self.username = "" if refusal else name
        severity = number(Code.SVRCOD, 8 if refusal else 0)
        return [(REPLY, pack(Code.SECCHKRM, severity, pack(Code.SECCHKCD, bytes([refusal]))))]

    def _refusal(self, name: str, password: str, new: bytes | None) -> int:
        """Check a login, and change the password if there is a new one; return why it is refused, or 0."""
        user = self.instance.user(name)
        if not user:
            return WRONG_USER
        if user.password != password:
            return WRONG_PASSWORD
        if user.is_disabled:
            return DISABLED
        if new:
            if len(new) < self.instance.shortest_password:
                return NEW_PASSWORD_INVALID
            user.change_password(new.decode())
        return EXPIRED if user.is_expired else 0

    def _enter(self, command: Command) -> list[Reply]:
        if not self.username:
            raise drda.ProtocolError("nobody is logged in")
        name = command.parameters[Code.RDBNAM].decode().strip()
        database = self.instance.databases.get(name)
        if not database:
            parts = number(Code.SVRCOD, 8), pack(Code.RDBNAM, command.parameters[Code.RDBNAM])
            return [(REPLY, pack(Code.RDBNFNRM, *parts))]
        store = database.connect()
        session = Session(self.instance, database, self.username.upper(), store)
        sets = number(Code.CCSIDSBC, drda.UTF8), number(Code.CCSIDDBC, drda.UTF16), number(Code.CCSIDMBC, drda.UTF8)
        entered = pack(
            Code.ACCRDBRM,
            number(Code.SVRCOD, 0),
            pack(Code.PRDID, VERSION.encode()),
            pack(Code.TYPDEFNAM, b"QTDSQLX86"),
            pack(Code.TYPDEFOVR, *sets),
        )
        if not session.may_connect():
            store.close()
            return [(REPLY, entered), _card(Db2Error(-1060, "08004", session.authid))]
        self.session = session
        self.instance.sessions.append(session)
        return [(REPLY, entered)]

    def _open(self, command: Command, _: Session) -> list[Reply]:
        try:
            answer = self.statements[command.section].run(command.arguments)
        except Db2Error as error:
            return [(REPLY, pack(Code.OPNQFLRM, number(Code.SVRCOD, 8), _database_name())), _card(error)]
        return _result(answer)

    def _execute(self, command: Command, _: Session) -> list[Reply]:
        if LICENSES in command.section:  # with this, the client asks a mainframe whether it is licensed
            return [_card(Db2Error(NO_PACKAGE, "51002", "DB2LIC.SYSLIC"))]
        answer = self.statements[command.section].run(command.arguments)
        if answer.outputs is not None:
            return [(OBJECT, drda.outputs(answer.outputs))]
        if not answer.columns:
            return [_card()]
        sets = pack(Code.PKGSNLST, pack(Code.PKGNAMCSN, command.section))
        names = struct.pack("<hi", 1, 0) + b"\0\2C1" + b"\0\0" + struct.pack("<i", 1)
        opened, *rest = _result(answer)
        return [
            (REPLY, pack(Code.RSLSETRM, number(Code.SVRCOD, 0), sets)),
            _card(),
            (OBJECT, pack(Code.SQLRSLRD, names)),
            opened,
            (OBJECT, pack(Code.SQLCINRD, b"\xff", drda.descriptions(answer.columns))),
            *rest,
        ]

    def _skipped(self, command: Command) -> list[Reply]:
        if command.code == Code.OPNQRY:
            invalid = Db2Error(-514, "26501", "CURSOR")
            return [(REPLY, pack(Code.OPNQFLRM, number(Code.SVRCOD, 8), _database_name())), _card(invalid)]
        return [_card(Db2Error(-518, "07003"))] if self.session else []


def _attributes(command: Command) -> list[Reply]:
    wanted = struct.iter_unpack(">HH", command.parameters[Code.MGRLVLLS])
    levels = b"".join(struct.pack(">HH", part, min(level, drda.LEVELS.get(part, 0))) for part, level in wanted)
    texts = (
        (Code.EXTNAM, "db2"),
        (Code.SRVCLSNM, "QDB2/LINUXX8664"),
        (Code.SRVNAM, "standin"),
        (Code.SRVRLSLV, VERSION),
    )
    parts = [pack(code, text.encode(drda.EBCDIC)) for code, text in texts]
    return [(REPLY, pack(Code.EXCSATRD, parts[0], pack(Code.MGRLVLLS, levels), *parts[1:]))]


def _card(error: Db2Error | None = None) -> Reply:
    return OBJECT, pack(Code.SQLCARD, diagnosis(error.code, error.state, error.tokens) if error else diagnosis())


def _described(columns: Sequence[drda.Column]) -> Reply:
    return OBJECT, pack(Code.SQLDARD, diagnosis(), b"\xff", drda.descriptions(columns))


def _result(answer: Answer) -> list[Reply]:
    opened = pack(Code.OPNQRYRM, number(Code.SVRCOD, 0), pack(Code.QRYPRCTYP, b"\x24\x17"))
    ended = pack(Code.ENDQRYRM, number(Code.SVRCOD, 4), _database_name())
    data = [(OBJECT, part) for part in drda.result(answer.columns, answer.rows)]
    return [(REPLY, opened), *data, (REPLY, ended), _card(Db2Error(100, "02000"))]


def _database_name() -> bytes:
    return pack(Code.RDBNAM, DATABASE.ljust(18).encode())


def _is_error(body: bytes) -> bool:
    code, data = next(drda.objects(body))
    if code == Code.SECCHKRM:
        return dict(drda.objects(data))[Code.SECCHKCD] != b"\0"
    if code == Code.RDBNFNRM:
        return True
    return code == Code.SQLCARD and data[0] == 0 and struct.unpack_from("<i", data, 1)[0] < 0
