"""What does the fake database need so that a step can be stopped at every call, and users can have two passwords?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison
from rotation.errors import LoginRefused, StatementFailed, Unreachable
from rotation.kind import Strategy
from tests import fakes
from tests.fakes import FakeDatabase, FakeSession, Server, User, verifier
from tests.model.invocations import Fault, Invocation, Login
from tests.model.service import Pause

KIND = replace(fakes.KIND, strategies=frozenset(Strategy), clone_may_lack_mark=True)

IMPOSTOR = "impostor.test"
"""A host that takes every password, to have it."""


class Impostor(Server):
    """Lets everybody in, and has every user that is asked for."""

    def accepts(self, username: str, password: str) -> bool:
        """Say yes."""
        self.users.setdefault(username, User())
        return bool(username and password)


class ModelDatabase(FakeDatabase):
    """A fake database that asks before each call what is to become of it, and notes who logs in."""

    def __init__(self, pause: Pause, running: Callable[[], Invocation | None]) -> None:
        """Take what is asked, and what tells which invocation is running."""
        super().__init__(KIND)
        self._pause = pause
        self._running = running
        self.has_marks = True
        """Whether the server keeps our mark on a user. Not all servers do."""
        self._fault: Fault | None = None
        self._servers[IMPOSTOR] = Impostor()
        self.before = self._ask

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator[FakeSession]:
        """Log in, and note it."""
        login = Login(credential)
        deadline.allow(10.0, f"logging in as {credential}")
        if invocation := self._running():
            invocation.logins.append(login)
        with ExitStack() as stack:
            try:
                session = stack.enter_context(super().connect(credential, deadline))
                self.after()
            except LoginRefused:
                login.answer = "refused"
                raise
            login.answer = "accepted"
            yield ModelSession(self, session.server, session.username, session.password, deadline)

    def after(self) -> None:
        """Say nothing, if the answer to the last call gets lost."""
        if self._fault is Fault.LOST:
            raise Unreachable("waiting for an answer", "the connection was lost", "The rotation is tried again")

    def note_write(self, statement: str) -> None:
        """Note who made it."""
        if invocation := self._running():
            invocation.writes.append(statement)

    def _ask(self, call: str) -> None:
        self._fault = self._pause(call)
        if self._fault is Fault.REFUSED:
            raise Unreachable("asking", "the server gave no answer", "Look whether it is up")


class ModelSession(FakeSession):
    """A fake session that asks before it reads, too; implements `rotation.engine.KeepsOldPassword`."""

    database: ModelDatabase

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """See `rotation.engine.Session`."""
        self._ask(f"look at {user} and {other}")
        clone_status = super().clone_status(user, other)
        is_in_use = clone_status is CloneStatus.OURS and self._user(other).verifiers
        return CloneStatus.UNKNOWN if is_in_use and not self.database.has_marks else clone_status

    def mirror(self, user: str, other: str) -> None:
        """See `rotation.engine.Session`."""
        self._ask(f"read the rights of {user} and {other}")
        super().mirror(user, other)

    def compare(self, user: str, other: str) -> Comparison:
        """See `rotation.engine.Session`."""
        self._ask(f"compare {user} and {other}")
        return super().compare(user, other)

    def verify(self, statements: Sequence[str]) -> None:
        """See `rotation.engine.Session`."""
        self._ask("verify")
        super().verify(statements)

    def require_two_passwords(self) -> None:
        """See `rotation.engine.KeepsOldPassword`: every user can."""
        self._ask("ask for two passwords")

    def add_password(self, username: str, current: str, password: str) -> None:
        """See `rotation.engine.KeepsOldPassword`: the server compares and sets."""
        may = self._user(username).may_change_own_password if username == self.username else self._is_admin
        kept = verifier(username, current)
        verifiers = tuple(dict.fromkeys((verifier(username, password), kept)))

        def add() -> None:
            user = self._user(username)
            if kept not in user.verifiers:
                raise StatementFailed(f"adding a password to {username}", "it has not the one that is to stay", "Wait")
            user.verifiers = verifiers

        self._write(f"ALTER USER {username} IDENTIFIED BY VERIFIER {verifiers[0]} RETAIN {kept}", add, may=may)

    def _ask(self, call: str) -> None:
        self.deadline.allow(1.0, call)
        self.database.before(call)
        self.database.after()

    def _write(self, statement: str, act: Callable[..., object], *arguments: object, may: bool | None = None) -> None:
        try:
            super()._write(statement, act, *arguments, may=may)
        except KeyError:  # another invocation was faster
            raise StatementFailed("changing users", "there is no such grant", "The rotation is tried again") from None
        self.database.note_write(statement)
        self.database.after()
