"""Can two users of Oracle be a pair, and one be made like the other? Looks only: a preflight asks as well."""

from collections.abc import Mapping

from rotation.engines.driver import ADMIN_HOST
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import OracleCatalog, User, few
from rotation.engines.oracle.definition import Definition
from rotation.engines.oracle.problems import COMMON_USER
from rotation.engines.oracle.rights import RightKind, grant, identifier, statements
from rotation.errors import Unsafe, Unsupported
from rotation.redaction import said


class Requirements:
    """What must be so before a pair is changed. Names are as the server keeps them."""

    def __init__(self, admin: OracleAdmin, catalog: OracleCatalog, user: str, other: str) -> None:
        self._admin = admin
        self._catalog = catalog
        self._user = user
        self._other = other

    def users(self) -> Mapping[str, User]:
        """Return those of the two that exist; raises Unsafe if they can never be a pair."""
        users = self._catalog.users(self._user, self._other)
        operation, admin = f"looking up {self._user} and {self._other}", self._admin.connection.username
        if self._user not in users:
            cause = f"there is no user {self._user} on the admin's server"
            raise Unsafe(operation, cause, ADMIN_HOST)
        for name, row in users.items():
            if row["oracle_maintained"] == "Y" or name == admin:
                cause = f"{name} is {'the admin itself' if name == admin else 'maintained by Oracle'}"
                raise Unsafe(operation, cause, "Put a user of the application into the secret")
        return users

    def require_mirrorable(self, row: User) -> None:
        """Raise Unsupported if a user like this one can have no clone."""
        operation = f"preparing the clone of {self._user}"
        if row["common"] == "YES":
            cause = f"{self._user} is a common user, of all containers"
            raise Unsupported(operation, cause, COMMON_USER)
        if row["authentication_type"] != "PASSWORD":
            cause = f"{self._user} logs in by {row['authentication_type']}, not with a password"
            raise Unsupported(operation, cause, "Use a user with a password")

    def require_shared(self) -> None:
        """Raise Unsupported if the other one has no right on something that the user owns. Changes nothing.

        A role can be granted it before there is another one.
        """
        ungranted = self._catalog.ungranted(self._user, self._other)
        if items := few([f"the {object_type.lower()} {said(item)}" for object_type, item in ungranted]):
            raise Unsupported(
                f"preparing {self._other}, which takes turns with {self._user}",
                f"{self._user} owns {', '.join(items)}, and nobody else can be given an owner's rights",
                f"Grant {self._other} what it needs on them, or grant that to a role (CREATE ROLE …; GRANT … ON … TO …;"
                f" GRANT … TO {identifier(self._user)}), and begin its sessions with ALTER SESSION SET CURRENT_SCHEMA ="
                f" {identifier(self._user)}; or move them into a schema that nobody logs in to; or use the single-user"
                " strategy",
            )

    def require_nothing_lost(self, user_has: Definition, other_has: Definition) -> None:
        """Raise Unsupported if third users would lose what the other one passed on to them.

        REVOKE takes an object privilege from them, too
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/REVOKE.html, "Revoking Object Privileges").
        """
        revoked = {
            (right.name, right.owner, right.item): right
            for statement, right in statements(other_has.rights, user_has.rights, self._other)
            if statement.startswith("REVOKE") and right.kind is RightKind.OBJECT
        }
        for grantee, what, option in self._catalog.passed_on(self._other) if revoked else ():
            if what in revoked and not self._has_from_others(grantee, what, option=option):
                right = revoked[what]
                raise Unsupported(
                    f"revoking from {self._other} what {self._user} does not have",
                    f"{said(grantee)} would lose the {said(str(right))}, which {self._other} has passed on",
                    f"{said(grant(right, grantee, ' WITH GRANT OPTION' * option))}, as its owner or an admin",
                )

    def _has_from_others(self, grantee: str, what: tuple[str, ...], *, option: bool) -> bool:
        """Tell whether somebody else granted it, too: with the option, for those to whom the grantee passed it on."""
        rights = [right for right in self._catalog.rights(grantee) if right.grantor != self._other]
        return any((right.name, right.owner, right.item) == what and right.option >= option for right in rights)
