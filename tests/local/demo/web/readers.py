"""Who logs in while a credential rotates? An application that reads the secret before each login; one that caches."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.local.demo.application import Application
from tests.local.demo.databases import Database, Login, LoginFailed
from tests.local.demo.versions import version_states
from tests.local.demo.web.board import Board

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

READS = "reads the secret before each login"
CACHES = "caches: reads it when a rotation begins"
_UNLABELLED = 2
"""How many versions without a label are shown: those that a rotation can come back to."""
_PAUSE = 0.1
"""Seconds between two logins: enough to see a gap, and the machine stays quiet."""


class Readers:
    """Both of them, for one secret, until `close`."""

    def __init__(
        self, client: "SecretsManagerClient", secret_id: str, database: Database, port: int, board: Board
    ) -> None:
        """`port` is theirs, where the secret names the function's."""
        self._client = client
        self._secret_id = secret_id
        self._database = database
        self._port = port
        self._board = board
        self._cached = self._read()
        board.readers([READS, CACHES])
        self._applications = [
            Application(READS, self._read, self._work(READS), _PAUSE),
            Application(CACHES, lambda: self._cached, self._work(CACHES), _PAUSE),
        ]
        self._stack = ExitStack()
        for application in self._applications:
            self._stack.enter_context(application)

    def close(self) -> None:
        """Stop them."""
        self._stack.close()

    def refresh(self) -> None:
        """Let the one that caches read the secret."""
        self._cached = self._read()

    def show(self) -> None:
        """Show the counts."""
        self._board.tallies({each.habit: each.tally for each in self._applications})

    def show_versions(self) -> None:
        """Try which passwords of the secret the server accepts, and show it with the labels."""
        trial = _Trial(self._database, self._port)
        states = version_states(self._client, self._secret_id, trial.work, _UNLABELLED)
        self._board.versions(states, reachable=trial.reachable)

    def _read(self) -> Login:
        value = self._client.get_secret_value(SecretId=self._secret_id)
        return replace(Login.parse(value["SecretString"]), port=self._port)

    def _work(self, habit: str) -> Callable[[Login], None]:
        def work(login: Login) -> None:
            try:
                self._database.work(login)
            except LoginFailed as error:
                self._board.login(habit, "refused" if error.refused else "unreachable")
                raise
            self._board.login(habit, "accepted")

        return work


class _Trial:
    """Tries passwords; a database that does not answer is noted."""

    def __init__(self, database: Database, port: int) -> None:
        self._database = database
        self._port = port
        self.reachable = True

    def work(self, login: Login) -> None:
        try:
            self._database.work(replace(login, port=self._port))
        except LoginFailed as error:
            self.reachable = self.reachable and error.refused
            raise LoginFailed(str(error), refused=True) from None
