"""Which versions of a secret log in?

A server can lock a user after a few refused logins, so per user at most two passwords meet it, and it is the last one
that works. The likeliest comes first: AWSCURRENT, AWSPENDING, then newer versions without a label, the newest first.
Older versions are tried only if the operator lets a rotation do that too (TRY_MORE_PASSWORDS).

If the secret names an admin, and the server shows an admin what it checks passwords with, the admin asks about all of
them, and no login is refused.

A password goes nowhere but to the place that AWSCURRENT names, with its TLS: another version could name another host.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.doctor.case import Case, Verdict
from rotation.doctor.versions import Version
from rotation.engine import InspectedEngine, SeesPasswords
from rotation.errors import LoginRefused, RotationError
from rotation.logins import MORE_PASSWORDS, as_admin
from rotation.values import dataclass

FEW_PASSWORDS = 2
"""How many passwords of one user meet the server."""


@dataclass(frozen=True)
class Trials:
    """What a doctor logs in with."""

    engine: InspectedEngine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    """As `rotation.logins.Context.admin`."""
    try_more_passwords: bool = False

    def of(self, case: Case) -> Case:
        """Return the case with what the server says. Changes nothing.

        Raises what `Engine.connect` raises, except LoginRefused.
        """
        verdicts: dict[str, Verdict] = {}
        for group in self._groups(case):
            verdicts |= self._verdicts(group, case.login) if case.login else {}
        tried = replace(case, verdicts=verdicts)
        is_refused = tried.current is not None and tried.verdict(tried.current) is Verdict.REFUSED
        return replace(
            tried,
            can_be_behind=is_refused and self._is_set_elsewhere(case.login),
            expiry=self._expiry(case.login) if tried.current and tried.logs_in(tried.current) else "",
        )

    def _groups(self, case: Case) -> Iterator[list[Version]]:
        """Yield the versions of each user whose passwords can be sent, the likeliest first."""
        older = case.older if self.try_more_passwords or self._sees(case.login) else []
        candidates = [one for one in (case.current, case.pending, *case.newer, *older) if one and one.value]
        there = [one for one in candidates if one.value and case.login and is_there(one.value, case.login.credential)]
        if not case.login:
            return
        normal = self.engine.kind.normal_name
        users = [normal(case.login.credential.username), normal(case.next_user) if case.next_user else ""]
        for user in dict.fromkeys(filter(None, users)):
            yield [one for one in there if case.user(one) == user]

    def _is_set_elsewhere(self, current: SecretValue | None) -> bool:
        """Tell whether an admin sets passwords at another host; True if nobody knows the admin's."""
        if not current or not current.admin_secret:
            return False
        with contextlib.suppress(RotationError):
            return self.admin(current).host != current.credential.host
        return True

    def _expiry(self, current: SecretValue | None) -> str:
        """Ask the server, in a session of AWSCURRENT, which has just logged in, whether its password has expired."""
        if not current:
            return ""
        with self.engine.connect(current.credential, self.deadline) as session:
            return next((one.said for one in session.inspect_server() if one.tells_expiry), "")

    def _sees(self, current: SecretValue | None) -> bool:
        return bool(current and current.admin_secret and self.engine.kind.admin_sees_passwords)

    def _verdicts(self, group: Sequence[Version], current: SecretValue) -> dict[str, Verdict]:
        logins = {one.identity: _login(one, current) for one in group if one.value}
        passwords = list(dict.fromkeys(login.password for login in logins.values()))
        first = next(iter(logins.values()), None)
        if not first:
            return {}
        accepted = self._accepted(first.username, passwords, current) if self._sees(current) else None
        found = self._tried(first, passwords) if accepted is None else self._confirmed(first, passwords, accepted)
        return {identity: found[login.password] for identity, login in logins.items() if login.password in found}

    def _accepted(self, username: str, passwords: Sequence[str], current: SecretValue) -> Sequence[str] | None:
        with as_admin(self.admin(current), current, self) as session:
            return session.accepted(username, passwords) if isinstance(session, SeesPasswords) else None

    def _tried(self, login: Credential, passwords: Sequence[str]) -> dict[str, Verdict]:
        """Try the passwords, until one works or the server has seen enough of them."""
        found: dict[str, Verdict] = {}
        for password in passwords[: MORE_PASSWORDS if self.try_more_passwords else FEW_PASSWORDS]:
            found[password] = self._try(replace(login, password=password))
            if found[password] is Verdict.LOGS_IN:
                break
        return found

    def _confirmed(self, login: Credential, passwords: Sequence[str], accepted: Sequence[str]) -> dict[str, Verdict]:
        """Return what the admin sees; the first that it accepts has logged in, too."""
        found = {one: Verdict.LOGS_IN if one in accepted else Verdict.REFUSED for one in passwords}
        for password in [one for one in passwords if one in accepted][:1]:
            found[password] = self._try(replace(login, password=password))
        return found

    def _try(self, credential: Credential) -> Verdict:
        try:
            with self.engine.connect(credential, self.deadline):
                return Verdict.LOGS_IN
        except LoginRefused:
            return Verdict.REFUSED


def _login(version: Version, current: SecretValue) -> Credential:
    """Return AWSCURRENT's login with the user and the password of a version."""
    own = version.value.credential if version.value else current.credential
    return replace(current.credential, username=own.username, password=own.password)


def is_there(value: SecretValue, user: Credential) -> bool:
    """Tell whether a version is for the same place as this login, so that its password can be sent there."""
    return (value.credential.host, value.credential.port) == (user.host, user.port)
