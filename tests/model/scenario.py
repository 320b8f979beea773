"""What is rotated, by what, and what can be seen of it from outside?

The program is the real one but for its drivers: steps, strategies, the secret with its calls, the finder of admins.
"""

import functools
import json
from dataclasses import replace
from typing import ClassVar, NoReturn

from rotation.admin import Admins
from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.errors import InvalidSecret
from rotation.kind import Strategy, counterpart
from rotation.logins import NEWER_PASSWORDS
from rotation.record import is_ours
from rotation.redaction import Redactor
from rotation.secret import MOST_VERSIONS_READ, SecretUnderRotation
from rotation.steps import STEPS, Rotation, Step
from rotation.strategies import CLONE_PASSWORDS
from tests.fakes import CURRENT, PENDING, PREVIOUS, PRIMARY, User, reading, verifier
from tests.laboratories import INVOICES, ORDERS
from tests.model.database import KIND, ModelDatabase
from tests.model.invocations import Fault, Invocation
from tests.model.service import CALL_SECONDS, Service

SECRET, ADMIN_SECRET = "app", "app-admin"
APP, CLONE, ADMIN, VICTIM = "app", "app_clone", "admin", "victim"
USERS = (APP, CLONE)

TELLTALE = "s3cr3t"
"""What every password begins with, so that none gets past unseen."""


class Clock:
    """Stands in for the module `time`: nobody waits, and to whoever does, the time passes."""

    running: ClassVar[Invocation | None] = None
    service: ClassVar[Service | None] = None

    @classmethod
    def sleep(cls, seconds: float) -> None:
        """Let others go on meanwhile."""
        if invocation := cls.running:
            invocation.pause("wait")
            invocation.seconds -= seconds
        if cls.service:
            cls.service.now += seconds


class Scenario:
    """A secret, its admin secret, the database, and the steps that are under way."""

    def __init__(self, strategy: Strategy, *, through_admin: bool, has_marks: bool) -> None:
        """Make it all. With `through_admin`, users may not change their own passwords."""
        self.strategy = strategy
        self.running: Invocation | None = None
        self.service = Clock.service = Service()
        self.client = self.service.client(self._pause)
        self.database = ModelDatabase(self._pause, lambda: self.running)
        self.database.has_marks = has_marks
        self._numbers = 0
        admin = self.database.new_user(ADMIN, self.new_password(), is_admin=True)
        self.database.new_user(VICTIM, self.new_password(), reading(INVOICES))
        user = self.database.new_user(APP, self.new_password(), reading(ORDERS))
        self.database.users[APP].may_change_own_password = not through_admin
        needs_admin = through_admin or strategy is Strategy.ALTERNATING_USERS
        self._store(ADMIN_SECRET, admin, {})
        arn = self.service.rules.secrets[ADMIN_SECRET].arn
        rotation = {"strategy": strategy, "verify": [f"SELECT 1 FROM {ORDERS}"]}  # noqa: S608 - a constant
        self._store(SECRET, user, {"rotation": rotation, **({"masterarn": arn} if needs_admin else {})})
        self.arn = self.service.rules.secrets[SECRET].arn
        self.service.enable_rotation(self.arn)

    # What the service and its function do

    def new_token(self) -> str:
        """Return the id of a version that there is not yet."""
        return f"version-{self._number():032d}"

    def new_password(self) -> str:
        """Return one that nobody has."""
        return f"{TELLTALE}-{self._number()}"

    def invoke(self, token: str, step: Step) -> Invocation:
        """Begin a step, which waits before its first call."""
        invocation = Invocation(token, step, lambda: STEPS[step](self._rotation(invocation)))
        self._run(invocation, begin=True)
        return invocation

    def go_on(self, invocation: Invocation, fault: Fault | None = None) -> None:
        """Let it make one call, with this fault."""
        invocation.fault = fault
        self._run(invocation)

    # What operators do

    def call(self, operation: str, **parameters: object) -> None:
        """Call the service about the secret."""
        self.service.call(operation, SecretId=self.arn, **parameters)

    def put(self, token: str, label: str, **fields: object) -> None:
        """Write a version by hand: the current one, with other fields."""
        text = json.dumps({**self.read().fields, **fields})
        self.call("PutSecretValue", ClientRequestToken=token, SecretString=text, VersionStages=[label])

    def change_password(self, username: str) -> str:
        """Change a user's password in the database, and return it."""
        password = self.new_password()
        self.database.users[username].verifiers = (verifier(username, password),)
        return password

    def remove_record(self) -> None:
        """Remove every label that says something about the pair."""
        for version in list(self.service.rules.secrets[self.arn].versions.values()):
            for label in filter(is_ours, list(version["version_stages"])):
                self.call("UpdateSecretVersionStage", VersionStage=label, RemoveFromVersionId=version["version_id"])

    # What can be seen

    @property
    def labels(self) -> dict[str, str]:
        """Which version has which label."""
        return self.service.labels(self.arn)

    @property
    def is_unfinished(self) -> bool:
        """Whether a rotation is under way: AWSPENDING is on a version that is not the current one."""
        return self.labels.get(PENDING, self.labels[CURRENT]) != self.labels[CURRENT]

    def value(self, token: str) -> SecretValue | None:
        """Return a version's value; None if it has none that can be read."""
        return _parsed(self._text(token) or "")

    def read(self, label: str = CURRENT) -> SecretValue:
        """Return a version as an application reads it."""
        value = self.value(self.labels[label])
        assert value
        return value

    def logs_in(self, value: SecretValue | None) -> bool:
        """Tell whether an application that has read this can log in."""
        return value is not None and value.credential.host == PRIMARY and self.database.accepts(value.credential)

    def users(self) -> dict[str, object]:
        """Return what the server knows about its users, to be compared later."""
        return {
            name: (user.verifiers, frozenset(user.rights), user.is_admin, user.mark)
            for name, user in self.database.users.items()
        }

    def rights(self, username: str) -> frozenset[str]:
        """Return what a user may do."""
        return frozenset(self.database.users.get(username, User()).rights)

    def follows(self, token: str) -> bool:
        """Tell whether a version is what createSecret makes, or would make, of the current one, whatever the password.

        The one that is empty is.
        """
        pending, current = self.value(token), self.read()
        if not self._text(token) or not pending:
            return not self._text(token)
        username = current.credential.username
        expected = counterpart(username) if self.strategy is Strategy.ALTERNATING_USERS else username
        return pending.credential == replace(
            current.credential, username=expected, password=pending.credential.password
        )

    def is_reachable(self) -> bool:
        """Tell whether a version that a rotation looks at holds the password of the user whom AWSCURRENT names."""
        current = self.read()
        if current.credential.host != PRIMARY:
            return False
        newer = self._same_login(current.credential.username, are_newer=True)[:NEWER_PASSWORDS]
        return any(map(self.logs_in, [current, *newer, *self._pending(current.credential.username)]))

    def holds_clone(self, username: str) -> bool:
        """Tell whether a version that a rotation looks at proves that this user is the clone."""
        earlier = self._same_login(username, are_newer=False)[:CLONE_PASSWORDS]
        return any(
            map(self.logs_in, [*earlier, *(self._pending(username) if self.service.is_recorded(self.arn) else [])])
        )

    def _pending(self, username: str) -> list[SecretValue]:
        token = self.labels.get(PENDING)
        pending = token and self.value(token)
        return [pending] if pending and self._is_login(pending.credential, username) else []

    def _same_login(self, username: str, *, are_newer: bool) -> list[SecretValue]:
        """Return the versions of this user at the place that AWSCURRENT names, in the order in which they are tried."""
        labels, versions = self.labels, list(self.service.rules.secrets[self.arn].versions)
        at = versions.index(labels[CURRENT])
        others = [v for v in reversed(versions[at + 1 :] if are_newer else versions[:at]) if v != labels.get(PENDING)]
        others.sort(key=lambda version: version != labels.get(PREVIOUS))
        values = filter(None, map(self.value, others[:MOST_VERSIONS_READ]))
        return [value for value in values if self._is_login(value.credential, username)]

    def held_at(self, password: str) -> set[str]:
        """Return the hosts that versions with this password name: no other is to learn it."""
        values = [*map(self.value, self.service.rules.secrets[self.arn].versions), self._admin()]
        return {value.credential.host for value in values if value and value.credential.password == password}

    def is_admin(self, credential: Credential) -> bool:
        """Tell whether this is what the admin secret holds."""
        return credential.password == self._admin().credential.password

    def _admin(self) -> SecretValue:
        [version] = self.service.rules.secrets[ADMIN_SECRET].versions.values()
        admin = _parsed(version["secret_string"])
        assert admin
        return admin

    def _is_login(self, one: Credential, username: str) -> bool:
        place = self.read().credential
        return (one.username, one.host, one.port) == (username, place.host, place.port)

    def _text(self, token: str) -> str | None:
        text = self.service.rules.secrets[self.arn].versions[token].get("secret_string")
        return text if text is None else str(text)

    def _store(self, name: str, credential: Credential, fields: dict[str, object]) -> None:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "username": credential.username,
            "password": credential.password,
            **fields,
        }
        self.service.call(
            "CreateSecret", Name=name, ClientRequestToken=self.new_token(), SecretString=json.dumps(value)
        )

    def _rotation(self, invocation: Invocation) -> Rotation:
        deadline = Deadline(lambda: invocation.seconds)
        return Rotation(
            secret=SecretUnderRotation(self.client, self.arn, invocation.token, KIND, Redactor(), deadline),
            engine=self.database,
            deadline=deadline,
            admin=Admins(self.client, _no_rds, KIND, Redactor(), deadline).find,
            new_password=lambda *_: self.new_password(),
            annotate=lambda _: None,
        )

    def _run(self, invocation: Invocation, *, begin: bool = False) -> None:
        self.running = Clock.running = invocation
        try:
            (invocation.start if begin else invocation.go_on)()
        finally:
            self.running = Clock.running = None

    def _pause(self, call: str) -> Fault | None:
        self.service.now += CALL_SECONDS
        return self.running.pause(call) if self.running else None

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


@functools.lru_cache(maxsize=1000)
def _parsed(text: str) -> SecretValue | None:
    try:
        return SecretValue.parse(text, KIND, "reading")
    except InvalidSecret:
        return None


def _no_rds(region: str) -> NoReturn:
    raise AssertionError(region)
