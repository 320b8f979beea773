"""How many logins does each server refuse, with every strategy? A server can lock a user for a few."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Engine, Session
from rotation.errors import DatabaseError, LoginRefused, Unsafe
from rotation.kind import EngineKind, Strategy
from rotation.steps import STEPS, Rotation, Step
from tests.contract.pairs import admin_for, changed
from tests.fakes import FakeSecret
from tests.laboratories import Laboratory, deadline, new_password

SINGLE, DUAL, ALTERNATING = Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD, Strategy.ALTERNATING_USERS


class CountingEngine:
    """The engine under test; counts the logins that fail, by user."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine."""
        self._engine = engine
        self.refused: Counter[str] = Counter()

    @property
    def kind(self) -> EngineKind:
        """The facts of the engine."""
        return self._engine.kind

    @contextmanager
    def connect(self, credential: Credential, until: Deadline) -> Iterator[Session]:
        """Log in, and count it if that fails."""
        with ExitStack() as stack:
            try:
                session = stack.enter_context(self._engine.connect(credential, until))
            except DatabaseError:
                self.refused[credential.username] += 1
                raise
            yield session


class Rotated:
    """A secret of a real user, and its rotation."""

    def __init__(self, laboratory: Laboratory, strategy: Strategy, *, through_admin: bool) -> None:
        """Make the user and its secret."""
        self.laboratory, self.strategy = laboratory, strategy
        self.engine = CountingEngine(laboratory.engine)
        self.user = laboratory.new_user()
        if strategy is DUAL:
            laboratory.allow_two_passwords(self.user.username, by_itself=not through_admin)
        admin = {"masterarn": "arn:admin"} if through_admin else {}
        place = {"engine": self.user.engine, "host": self.user.host, "port": self.user.port}
        database = {"dbname": self.user.database} if self.user.database else {}
        login = {"username": self.user.username, "password": self.user.password, "ssl": self.user.tls}
        fields = {**place, **database, **login, **admin, "rotation": {"strategy": strategy}}
        self.secret = FakeSecret(fields, laboratory.engine.kind)
        self._versions = 0

    def begin(self) -> None:
        """Stage a new version."""
        self._versions += 1
        self.secret.begin(f"version-{self._versions}")

    def run(self, *steps: Step) -> None:
        """Do the steps."""
        for step in steps or tuple(Step):
            STEPS[step](self._rotation())

    def rotate(self) -> None:
        """Rotate once."""
        self.begin()
        self.run()

    def refused(self) -> int:
        """Return how many logins were refused since the last time, and forget them."""
        refused = self.engine.refused.total()
        self.engine.refused.clear()
        return refused

    def logs_in(self) -> bool:
        """Tell whether AWSCURRENT works."""
        return self.laboratory.logs_in(self.secret.read().credential)

    def _rotation(self) -> Rotation:
        return Rotation(
            secret=self.secret,
            engine=self.engine,
            deadline=deadline(),
            admin=lambda value: admin_for(self.laboratory, value.credential),
            new_password=lambda *_: new_password(),
            annotate=lambda _: None,
        )


pytestmark = pytest.mark.newest


@pytest.fixture
def secret(every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool) -> Rotated:
    """A secret that was rotated once, without a refused login."""
    secret = Rotated(every_laboratory, strategy, through_admin=through_admin)
    secret.rotate()
    assert secret.refused() == 0
    return secret


def test_a_healthy_rotation_has_no_refused_login(secret: Rotated) -> None:
    for _ in range(2):
        secret.rotate()
        assert secret.refused() == 0
    assert secret.logs_in()


def test_a_step_that_is_delivered_again_has_one_at_most(secret: Rotated) -> None:
    secret.begin()
    for step in Step:
        secret.run(step)
        secret.run(step)
        assert secret.refused() == (1 if (secret.strategy, step) == (SINGLE, Step.SET) else 0)
    assert secret.logs_in()


@pytest.mark.parametrize("was_set", [True, False], ids=["after setSecret", "before it"])
def test_a_rotation_that_is_resumed_has_one_at_most(secret: Rotated, *, was_set: bool) -> None:
    """After setSecret, a createSecret that asks for the password policy meets the refusal of AWSCURRENT."""
    secret.begin()
    secret.run(Step.CREATE, *([Step.SET] if was_set else []))
    secret.secret.staged_long_ago = True
    secret.run()
    is_tried = not was_set or secret.engine.kind.shows_password_rules
    assert secret.refused() == (1 if secret.strategy is SINGLE and is_tried else 0)
    assert secret.logs_in()


def test_a_rotation_that_was_abandoned_costs_the_next_one_two_at_most(secret: Rotated) -> None:
    secret.begin()
    secret.run(Step.CREATE, Step.SET)
    secret.secret.abandon()
    secret.begin()
    for step in Step:
        secret.run(step)
        asks = step is Step.CREATE and secret.engine.kind.shows_password_rules
        assert secret.refused() == (1 if secret.strategy is SINGLE and (asks or step is Step.SET) else 0)
    assert secret.logs_in()


def test_a_wrong_secret_costs_two_at_most_in_a_step(secret: Rotated) -> None:
    current = secret.secret.read().credential
    secret.laboratory.change_password(changed(current))
    secret.begin()
    for step in (Step.CREATE, Step.SET):
        with suppress(LoginRefused):
            secret.run(step)
        assert secret.refused() <= 2
    assert set(secret.engine.refused) <= {current.username}


@pytest.mark.strategies(ALTERNATING)
def test_a_user_of_somebody_elses_meets_no_password(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    secret = Rotated(every_laboratory, strategy, through_admin=through_admin)
    stranger = every_laboratory.new_user(secret.engine.kind.counterpart(secret.user.username))
    for _ in range(3):
        secret.begin()
        secret.run(Step.CREATE)
        with pytest.raises(Unsafe):
            secret.run(Step.SET)
        secret.secret.abandon()
    assert secret.refused() == 0
    assert every_laboratory.logs_in(stranger)
