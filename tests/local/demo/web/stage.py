"""What runs behind the page, and what does each button do? Nothing is staged: each button does what it says.

    rotate     RotateSecret
    kill       the function's process gets SIGKILL: in the step that runs, or at its next word to the database
    abandon    CancelRotateSecret; the version is given up, and a new rotation begins
    cut        connections to the database are reset, and new ones, too
    wrong      somebody changes the user's password in the database, by hand
    heal       the database is reachable; the doctor looks and repairs; the operator does the rest, and rotates

If no rotation is under way, `kill` and `abandon` begin one, and strike when the database has the new password and the
secret does not yet have it: the worst instant.
"""

import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from tests.local.aws.lambda_runtime import FunctionError
from tests.local.demo.databases import Engine, Login, LoginFailed, Strategy
from tests.local.demo.scenario import Scenario
from tests.local.demo.screen import Screen
from tests.local.demo.web import healing
from tests.local.demo.web.board import Board
from tests.local.demo.web.readers import Readers
from tests.local.servers.relay import Way

PACE = 1.0
"""Seconds between two steps, so that one can see them. Secrets Manager takes about as long."""
_WORST = "testSecret"
_LAST = "finishSecret"
_PATIENCE = 300.0
_LOOK = 0.5
_EXPECTED = (ClientError, FunctionError, LoginFailed, TimeoutError)


class Refused(Exception):
    """What was pressed cannot be done now; the message says why."""


class Stage:
    """A database, a function, a Secrets Manager and two readers; the board shows what they do."""

    def __init__(self, scenario: Scenario, ways: tuple[Way, Way], pace: float) -> None:
        self.board = Board()
        self.engine = scenario.engine
        self.strategy = scenario.engine.strategies[0]
        self.scenario = scenario
        self._client = scenario.manager.client()
        self._functions, self._readers_way = ways
        self._pace = pace
        self._over = threading.Event()
        self._changed = threading.Event()
        self._looker = threading.Thread(target=self._look, name="versions", daemon=True)
        self._worker = ThreadPoolExecutor(1, "button")
        self._pressing = threading.Lock()
        self._job: Future[None] | None = None
        self._is_cut = False
        self._is_rotating = False
        self._step = ""
        self._doomed: str | None = None
        self._abandon_after: str | None = None
        self._by_hand: dict[str, Login] = {}
        self._secrets: dict[str, str] = {}
        self.buttons: Mapping[str, Callable[[], None]] = {
            "rotate": lambda: self._begin(self._rotate),
            "kill": self._kill,
            "abandon": self._abandon,
            "cut": self._cut,
            "wrong": lambda: self._begin(self._set_by_hand),
            "heal": lambda: self._begin(self._heal),
        }

    @classmethod
    @contextmanager
    def open(cls, screen: Screen, engine: Engine, pace: float = PACE) -> "Iterator[Stage]":
        """Start everything, with the engine's first strategy. Raises DemoError."""
        with ExitStack() as stack:
            scenario = Scenario.prepare(screen, engine, stack, ALLOW_DOCTOR_REPAIR="true")
            arrivals: list[Callable[[], None]] = []
            port = scenario.database.admin.port
            function = stack.enter_context(Way.to(port, lambda: [arrive() for arrive in arrivals]))
            stage = cls(scenario, (function, stack.enter_context(Way.to(port))), pace)
            arrivals.append(stage._strike)
            stage._prepare()
            stack.callback(stage._close)
            stack.enter_context(scenario.observer.showing(stage))
            yield stage

    def press(self, name: str) -> None:
        """Do what a button says. Raises LookupError: there is none; Refused: not now."""
        self.buttons[name]()

    def choose(self, name: str) -> None:
        """Show another strategy. Raises LookupError: the engine does not have it; Refused: not now."""
        strategy = {each.name: each for each in self.engine.strategies}[name]
        self._begin(lambda: self._use(strategy))

    def state(self, lines_after: int = 0) -> dict[str, Any]:
        """Return what the page shows."""
        self._readers.show()
        return {
            **self.board.snapshot(lines_after),
            "strategy": self.strategy.name,
            "secret": self._secret_id,
            "rotating": self._is_rotating,
            "busy": self._is_busy,
            "cut": self._is_cut,
        }

    # The steps of a rotation, from its thread

    def began(self, name: str) -> None:
        """Show the step."""
        self._step = name
        self.board.began(name)

    def ended(self, name: str, seconds: float, said: str, *, good: bool) -> None:
        """Show how it ended; wait a little before the next one."""
        self._step = ""
        self.board.ended(name, seconds, said, good=good)
        self._changed.set()
        if good and name == self._abandon_after:
            self._cancel()
        elif name != _LAST or not good:
            self._over.wait(self._pace)

    def _strike(self) -> None:
        """Kill the function, if it is doomed, when it comes to the database."""
        step = self._step  # it ends, with a failure, as soon as the function is killed
        if step and self._doomed in {step, "any"}:
            self._doomed = None
            self.scenario.runtime.kill()
            self.board.say(f"The function was killed in {step}, before it could say a word to the database.", "bad")

    # What the buttons do

    def _begin(self, job: Callable[[], None]) -> None:
        with self._pressing:
            if self._is_busy:
                raise Refused("Wait: a rotation, or what you pressed before, is not over yet.")
            self._job = self._worker.submit(self._do, job)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except _EXPECTED as error:
            self.board.say(_words(error), "bad")
        except Exception as error:  # noqa: BLE001 - the page says so, and works on
            self.board.say(f"The demo has a defect, {type(error).__name__}: see the terminal.", "bad")
            traceback.print_exc(file=sys.stderr)
        finally:
            self._doomed = self._abandon_after = None
            self._changed.set()

    @property
    def _is_busy(self) -> bool:
        return self._job is not None and not self._job.done()

    @property
    def _secret_id(self) -> str:
        return self._secrets[self.strategy.name]

    def _rotate(self) -> None:
        self._readers.refresh()
        while self._rotate_once() == "cancelled":
            healing.give_up_pending(self._client, self._secret_id)
            self.board.say(
                "Secrets Manager gave that rotation up. Its version is left without a label; a new one begins."
            )

    def _rotate_once(self) -> str:
        manager = self.scenario.manager
        self.board.say(f"RotateSecret {self._secret_id}")
        self.board.rotation_begins()
        self._is_rotating = True
        try:
            self._client.rotate_secret(SecretId=self._secret_id, RotationLambdaARN=self.scenario.function_arn)
            self._changed.set()
            outcome = manager.wait(self._secret_id, _PATIENCE)
        finally:
            self._is_rotating = False
        if outcome.result == "succeeded":
            again = f", at attempt {outcome.attempts}" if outcome.attempts > 1 else ""
            self.board.say(f"The rotation succeeded{again}.", "good")
        elif outcome.result == "failed":
            self.board.say(f"The rotation failed after {outcome.attempts} attempts. Heal it.", "bad")
        return outcome.result

    def _kill(self) -> None:
        if step := self._step:
            self.scenario.runtime.kill()
            self.board.say(f"The function was killed in {step}.", "bad")
        elif self._is_rotating:
            self._doomed = "any"
            self.board.say("No step runs just now. The function is killed in the next one that comes to the database.")
        else:
            self._begin(self._rotate)
            self._doomed = _WORST

    def _abandon(self) -> None:
        if self._is_rotating:
            self._cancel()
        else:
            self._begin(self._rotate)
            self._abandon_after = "setSecret"

    def _cancel(self) -> None:
        self._abandon_after = None
        self._client.cancel_rotate_secret(SecretId=self._secret_id)
        self.board.say("CancelRotateSecret: no further step begins.", "bad")

    def _cut(self) -> None:
        self._is_cut = True
        self._functions.cut()
        self._readers_way.cut()
        self.board.say("The database is cut off: connections are reset.", "bad")
        self._changed.set()

    def _set_by_hand(self) -> None:
        value = self._client.get_secret_value(SecretId=self._secret_id)["SecretString"]
        current = replace(Login.parse(value), password=secrets.token_urlsafe() + "-Aa1")
        self.scenario.database.set_password(current)
        self._by_hand[self._secret_id] = current
        self.board.say(
            f"Somebody has changed the password of {current.username} in the database. The secret does not have it.",
            "bad",
        )

    def _heal(self) -> None:
        was_cut, self._is_cut = self._is_cut, False
        self._functions.mend()
        self._readers_way.mend()
        if was_cut:
            self.board.say("The database can be reached again.", "good")
        is_well = healing.consult(self._examine, self.board)
        by_hand = self._by_hand.pop(self._secret_id, None)
        if not is_well and by_hand:
            healing.write_password(self._client, self._secret_id, by_hand, self.board)
        if healing.give_up_pending(self._client, self._secret_id):
            self.board.say("The operator takes AWSPENDING from the unfinished version.")
            is_well = False
        if is_well:
            self.board.say("There is nothing to repair.", "good")
        else:
            self._rotate()

    def _examine(self) -> Mapping[str, Any]:
        event = {"Step": "doctor", "SecretId": self._secret_id, "Repair": True}
        answer: Mapping[str, Any] = self.scenario.runtime.invoke(event)
        return answer

    # Strategies

    def _prepare(self) -> None:
        """Let the function come to the database by its way, and begin."""
        admin = replace(self.scenario.database.admin, port=self._functions.port)
        self._client.put_secret_value(SecretId=self.scenario.admin_secret, SecretString=admin.secret())
        self._start_readers(self.strategy)
        self._looker.start()

    def _use(self, strategy: Strategy) -> None:
        if strategy == self.strategy:
            return
        self._readers.close()
        self.board.rotation_begins()
        self._start_readers(strategy)

    def _start_readers(self, strategy: Strategy) -> None:
        if strategy.name not in self._secrets:
            self._secrets[strategy.name] = self.scenario.new_secret(strategy, port=self._functions.port)
        self.strategy = strategy
        self._readers = Readers(
            self._client, self._secret_id, self.scenario.database, self._readers_way.port, self.board
        )
        self.board.say(f"{strategy.title}: two applications log in with the secret {self._secret_id}.")
        self._changed.set()

    def _look(self) -> None:
        while not self._over.is_set():
            if self._changed.wait(_LOOK):
                self._changed.clear()
                with suppress(*_EXPECTED):  # the secret, or the database, is looked at again after the next change
                    self._readers.show_versions()

    def _close(self) -> None:
        self._over.set()
        self._worker.shutdown(cancel_futures=True)
        self._looker.join()
        self._readers.close()


def _words(error: Exception) -> str:
    if isinstance(error, ClientError):
        return f"Secrets Manager refused {error.operation_name}: {error.response['Error']['Message']}"
    return str(error)
