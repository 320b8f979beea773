"""As whom do the two of a pair act in their database, and is it the same role?

A session acts as the role that the setting `role` names: that of the user in this database, else that of the user,
else that of the database, else that of all (https://www.postgresql.org/docs/current/config-setting-names.html).
"""

from collections.abc import Mapping

from rotation.engine import Difference
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import SINGLE_USER, PairRoles, quoted
from rotation.errors import RightsDiffer

REPAIRED: Mapping[int, int] = {13: 18, 14: 15, 15: 10, 16: 6, 17: 2}
"""By major version, the minor one that repairs `ALTER ROLE … SET role`: the one before ignores it
(https://www.postgresql.org/docs/release/17.2/), and earlier ones forget it at DISCARD ALL."""


class PostgreSQLActing:
    """As whom both roles act, in the database of the connection."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair."""
        self._connection = connection
        self._roles = roles

    def require_possible(self) -> None:
        """Raise RightsDiffer if the clone will not act as the original does: the database makes it act as a third role.

        What is set for the current user, and not for the database, both have after the rotation.
        """
        original, user = self._roles.original, self._roles.user
        database, acting = str(self._connection.credential.database), self._acting()
        role, is_databases = acting.get(original, (original, False))
        if role != original and is_databases and not (user != original and acting[user][0] == role):
            raise RightsDiffer(
                f"preparing {self._roles.clone}, which acts as {original}",
                f"the database {database} makes {original} act as {role}, and not its clone",
                f"ALTER ROLE {quoted(user)} IN DATABASE {quoted(database)} SET role TO {quoted(role)}; a rotation"
                " copies this to the other user",
            )

    @property
    def question(self) -> Question:
        """What is asked about the settings that say as whom the two act."""
        query = catalog.ACTING.format(act_as=self._connection.act_as)
        return Question(query, (self._roles.user, self._roles.other))

    def differences(self, really: str) -> list[Difference]:
        """Return whether the two act as different roles, by the settings, and `really`: see `ask`."""
        user, other, me = self._roles.user, self._roles.other, self._connection.username
        acting, found = {name: role for name, (role, _) in self._acting().items()}, []
        if acting[user] != acting[other]:
            what = f"{other} acts as {acting[other]}, {user} as {acting[user]}"
            found.append(Difference(what, self._acts_as(other, acting[user]), self._acts_as(user, acting[other])))
        if really != acting[me]:
            what = f"{me} acts as {really}, although it is set to act as {acting[me]}{self._repair()}"
            found.append(Difference(what, "update the server", SINGLE_USER))
        return found

    def _acts_as(self, name: str, role: str) -> str:
        database = quoted(str(self._connection.credential.database))
        return f"ALTER ROLE {quoted(name)} IN DATABASE {database} SET role TO {quoted(role)}"

    def _acting(self) -> dict[str, tuple[str, bool]]:
        """Return by user: as whom it acts, and whether the database says so."""
        rows = self._connection.ask("reading as whom the two act", self.question)
        return {str(name): (str(role), bool(is_databases)) for name, role, is_databases in rows}

    def ask(self) -> str:
        """Return as whom an application acts that logs in as this session's user."""
        operation = "asking the server as whom an application acts"
        [(really,)] = self._connection.execute(operation, "SET LOCAL role TO DEFAULT; SELECT current_user")
        self._connection.before_next("SET LOCAL role TO none")
        return str(really)

    def _repair(self) -> str:
        major, minor = divmod(self._connection.server_version, 10000)
        repaired = REPAIRED.get(major, 0)
        return f". PostgreSQL {major}.{repaired} repairs this, and this is {major}.{minor}" if minor < repaired else ""
