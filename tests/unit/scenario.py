"""What is a rotation made of, where nothing is real?"""

import itertools
from dataclasses import dataclass, field, replace

import pytest

from rotation import deadline
from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.kind import Strategy
from rotation.steps import STEPS, Rotation, Step
from tests.fakes import PRIMARY, FakeDatabase, FakeSecret, reading
from tests.laboratories import ORDERS

APP = "app"
CLONE = "app_clone"
SINGLE, ALTERNATING = Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS
CONNECTIONS = {SINGLE: 2, ALTERNATING: 3}
"""How many a healthy rotation makes at most."""


@dataclass
class Clock:
    """Time that passes only where somebody waits for it; stands in for the module `time`."""

    left: float = 30.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.left -= seconds
        self.waits.append(seconds)

    def seconds_left(self) -> float:
        """Return what Lambda would still give."""
        return self.left


class Scenario:
    """A database with an admin and an application's user, that user's secret, and who rotates it."""

    def __init__(
        self,
        strategy: Strategy = SINGLE,
        *,
        database: FakeDatabase | None = None,
        host: str = PRIMARY,
        **fields: object,
    ) -> None:
        """Make it all; more fields go into the secret."""
        self.strategy = strategy
        self.database = database or FakeDatabase()
        self.admin = self.database.new_user("admin", "admin-password", is_admin=True)
        user = self.database.new_user(APP, "password-0", reading(ORDERS))
        admin = {"masterarn": "arn:admin"} if strategy is ALTERNATING else {}
        value = {"engine": "fake", "host": host, "username": APP, "password": user.password, **admin, **fields}
        self.secret = FakeSecret(value, self.database.kind)
        self.clock = Clock()
        self.asked_for_admin = 0
        self.earlier_admins: list[Credential] = []
        """What the admin secret holds when it is read first, and next: it changes with each read."""
        self.annotated: list[Strategy] = []
        self.try_more_passwords = False
        self.allow_admin_repair = False
        self.recovered: list[str] = []
        self._passwords = (f"password-{number}" for number in itertools.count(1))
        self._tokens = (f"version-{number}" for number in itertools.count(1))

    def rotation(self) -> Rotation:
        """Return the means of one step."""
        return Rotation(
            secret=self.secret,
            engine=self.database,
            deadline=Deadline(self.clock.seconds_left),
            admin=self._admin,
            new_password=lambda *_: next(self._passwords),
            annotate=lambda strategy: self.annotated.append(strategy.name),
            try_more_passwords=self.try_more_passwords,
            allow_admin_repair=self.allow_admin_repair,
            recovered=self.recovered.append,
        )

    def run(self, *steps: Step) -> list[str]:
        """Do the steps, all four where none are named, and return what each says that it did."""
        return [STEPS[step](self.rotation()) for step in steps or tuple(Step)]

    def begin(self) -> None:
        """Have a new version staged, as RotateSecret does."""
        self.secret.begin(next(self._tokens))

    def rotate(self) -> None:
        """Rotate once."""
        self.begin()
        self.run()

    def stage(self, fields: dict[str, object]) -> None:
        """Have a new version staged that somebody else has written: the current one with other fields."""
        self.begin()
        current = self.secret.read()
        assert self.secret.stage(replace(current, fields={**current.fields, **fields}))

    def begin_with_current_value(self) -> None:
        """Have a new version staged that holds what the current one holds, as a test without rotation may do."""
        self.stage({})

    def may_log_in(self, value: SecretValue) -> bool:
        """Tell whether an application that read this version can log in."""
        return self.database.accepts(value.credential)

    def forget_connections(self) -> None:
        """Begin to count anew."""
        self.database.tried.clear()
        self.database.refused.clear()

    def users_tried(self) -> list[str]:
        """Return who logged in, or tried to, in order."""
        return [credential.username for credential in self.database.tried]

    def _admin(self, _: SecretValue) -> Credential:
        self.asked_for_admin += 1
        return self.earlier_admins.pop(0) if self.earlier_admins else self.admin


def stop_clocks(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Have the program's waiting be the scenario's."""
    monkeypatch.setattr(deadline, "time", scenario.clock)
