"""What do the statements do that change logins and server roles?"""

import secrets
from collections.abc import Mapping

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.passwords import hashed, matches, require_policy
from tests.local.stand_ins.sqlserver.statement import Readers, Statements, record, refusal
from tests.local.stand_ins.sqlserver.tables import SERVER, SERVER_PRINCIPAL, SYSADMIN, Securable, Viewer

SID_LENGTH = 16


class LoginStatements(Statements):
    """Logins and server roles."""

    def create_login(self) -> None:
        """CREATE LOGIN."""
        name = self._tokens.name()
        self._tokens.expect("WITH", "PASSWORD", "=")
        password = self._tokens.text()
        options = {"is_policy_checked": 1, "is_expiration_checked": 0, **self._login_options()}
        self._require_server("ALTER ANY LOGIN")
        if "\\" in name:
            raise SqlError(15006, f"'{name}' is not a valid name because it contains invalid characters.")
        if self._catalog.get("server_principals", "1", name=name):
            raise SqlError(15025, f"The server principal '{name}' already exists.")
        sid = options.pop("sid", None) or secrets.token_bytes(SID_LENGTH)
        if not isinstance(sid, bytes) or len(sid) != SID_LENGTH:
            raise SqlError(15419, "Supplied parameter sid should be binary(16).")
        if self._catalog.get("server_principals", "1", sid=sid):
            raise SqlError(15433, "Supplied parameter sid is in use.")
        if options["is_policy_checked"]:
            require_policy(name, password)
        number = self._catalog.next_id("server_principals", "principal_id", 256)
        self._catalog.insert(
            "server_principals",
            principal_id=number, name=name, sid=sid, type="S", password=hashed(password),
            default_database_name="master", default_language_name="us_english",
        )  # fmt: skip
        self._update_login(name, options)
        record(self._catalog, "", Securable(SERVER), number, "CONNECT SQL", "GRANT")

    def alter_login(self) -> None:
        """ALTER LOGIN."""
        name = self._tokens.name()
        number = self._catalog.get("server_principals", "principal_id", name=name, type="S")
        allowed = number is not None and self._can_alter_login(number)
        if self._tokens.took("WITH", "PASSWORD", "="):
            self._change_login_password(name, number, allowed=allowed)
            return
        if self._tokens.took("ADD", "CREDENTIAL"):
            credential = self._credential()
            self._require_server("ALTER ANY CREDENTIAL")
            self._catalog.insert("server_principal_credentials", principal_id=number, credential_id=credential)
            return
        options: dict[str, Value]
        if self._tokens.took("WITH", "NO", "CREDENTIAL"):
            options = {"credential_id": None}
        elif self._tokens.took("WITH"):
            options = self._login_options(first=True)
        else:
            options = {"is_disabled": int(self._tokens.one_of("ENABLE", "DISABLE") == "DISABLE")}
        if not allowed:
            raise refusal("alter", "login", name)
        self._update_login(name, options)

    def _change_login_password(self, name: str, number: int | None, *, allowed: bool) -> None:
        password, old = self._passwords()
        must_change, unlock = self._tokens.took("MUST_CHANGE"), self._tokens.took("UNLOCK")
        options = self._login_options()
        row = self._catalog.get("server_principals", "password", name=name, type="S")
        itself = number is not None and number == self._viewer.login
        proved = old is not None and matches(old, row)
        if not ((allowed or itself) and proved if old is not None else allowed) or (options and not allowed):
            raise refusal("alter", "login", name)
        is_checked = self._catalog.get("server_principals", "is_policy_checked", name=name)
        if options.get("is_policy_checked", is_checked):
            require_policy(name, password)
            # Windows checks the history if a password is changed, not if it is reset
            # (https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-samr, SamrValidatePassword).
            if old is not None and matches(password, row):
                raise SqlError(15115, "Password validation failed. The password cannot be used at this time.")
        options |= {"password": hashed(password), "must_change": int(must_change)}
        self._update_login(name, {**options, "failures": 0} if unlock else options)

    def drop_login(self) -> None:
        """DROP LOGIN."""
        name = self._tokens.name()
        number = self._catalog.get("server_principals", "principal_id", name=name, type="S")
        if number is None or not self._can_alter_login(number):
            raise refusal("drop", "login", name)
        if self._catalog.get("databases", "1", owner_sid=self._catalog.get("server_principals", "sid", name=name)):
            raise SqlError(15174, f"Login '{name}' owns one or more database(s).")
        self._catalog.delete("server_principals", principal_id=number)
        self._catalog.delete("server_role_members", member_principal_id=number)
        self._catalog.delete("server_permissions", grantee_principal_id=number)

    def create_server_role(self) -> None:
        """CREATE SERVER ROLE."""
        name, owner = self._tokens.name(), self._viewer.login
        if self._tokens.took("AUTHORIZATION"):
            owner = self._server_principal(self._tokens.name(), "find")
        self._require_server("ALTER ANY SERVER ROLE")
        if self._catalog.get("server_principals", "1", name=name):
            raise SqlError(15025, f"The server principal '{name}' already exists.")
        number = self._catalog.next_id("server_principals", "principal_id", 256)
        sid = secrets.token_bytes(SID_LENGTH)
        self._catalog.insert(
            "server_principals", principal_id=number, name=name, sid=sid, type="R", owning_principal_id=owner
        )

    def alter_server_role(self) -> None:
        """ALTER SERVER ROLE: add or drop a member."""
        name, verb = self._tokens.name(), self._tokens.one_of("ADD MEMBER", "DROP MEMBER")
        role = self._server_principal(name, "alter", "server role")
        if self._catalog.get("server_principals", "is_fixed_role", principal_id=role):
            allowed = bool({role, SYSADMIN} & self._catalog.server_groups(self._viewer.login))
        else:
            allowed = self._catalog.allows_server(self._viewer, "ALTER ANY SERVER ROLE")
            allowed = allowed or self._catalog.allows_server(self._viewer, "ALTER", Securable(SERVER_PRINCIPAL, role))
        if not allowed:
            raise refusal("alter", "server role", name)
        membership = {
            "role_principal_id": role, "member_principal_id": self._server_principal(self._tokens.name(), "add")
        }  # fmt: skip
        self._catalog.delete("server_role_members", **membership)
        if verb == "ADD MEMBER":
            self._catalog.insert("server_role_members", **membership)

    def _can_alter_login(self, number: int) -> bool:
        """Tell whether the viewer can alter this login: one with CONTROL SERVER takes CONTROL SERVER."""
        if self._catalog.allows_server(Viewer(number, 0, "master"), "CONTROL SERVER"):
            return self._catalog.allows_server(self._viewer, "CONTROL SERVER")
        return self._catalog.allows_server(self._viewer, "ALTER ANY LOGIN") or self._catalog.allows_server(
            self._viewer, "ALTER", Securable(SERVER_PRINCIPAL, number)
        )

    def _login_options(self, *, first: bool = False) -> dict[str, Value]:
        """Read `, NAME = value …`; the first one has no comma."""
        readers: Readers = {
            "SID": ("sid", self._tokens.binary),
            "DEFAULT_DATABASE": ("default_database_name", self._existing_database),
            "DEFAULT_LANGUAGE": ("default_language_name", self._tokens.name),
            "CHECK_POLICY": ("is_policy_checked", self._tokens.switch),
            "CREDENTIAL": ("credential_id", self._credential),
            "CHECK_EXPIRATION": ("is_expiration_checked", self._tokens.switch),
        }
        return self._options(readers, first=first)

    def _credential(self) -> int:
        name = self._tokens.name()
        found = self._catalog.get("credentials", "credential_id", name=name)
        if found is None:
            raise refusal("alter", "credential", name)
        return int(found)

    def _existing_database(self) -> str:
        name = self._tokens.name()
        if not self._catalog.get("databases", "1", name=name):
            raise SqlError(15010, f"The database '{name}' does not exist. Supply a valid database name.")
        return self._catalog.spelled(name)

    def _update_login(self, name: str, options: Mapping[str, Value]) -> None:
        """Write options of a login; a change of the policy changes the expiration (alter-login-transact-sql)."""
        policy_before, must_change_before = (
            self._catalog.get("server_principals", column, name=name) for column in ("is_policy_checked", "must_change")
        )
        off = {options.get("is_policy_checked"), options.get("is_expiration_checked")}
        if 0 in off and must_change_before and options.get("must_change") != 0:
            text = "The CHECK_POLICY and CHECK_EXPIRATION options cannot be turned OFF when MUST_CHANGE is ON."
            raise SqlError(15128, text)
        self._catalog.update("server_principals", options, name=name)
        if options.get("is_policy_checked", policy_before) != policy_before:
            expiration = {"is_expiration_checked": options["is_policy_checked"]}
            self._catalog.update("server_principals", {**expiration, **options}, name=name)
        policy, expiration, must_change = (
            self._catalog.get("server_principals", column, name=name)
            for column in ("is_policy_checked", "is_expiration_checked", "must_change")
        )
        if expiration and not policy:
            raise SqlError(15122, "The CHECK_EXPIRATION option cannot be used when CHECK_POLICY is OFF.")
        if must_change and not expiration:
            raise SqlError(15099, "The MUST_CHANGE option cannot be used when CHECK_EXPIRATION is OFF.")
