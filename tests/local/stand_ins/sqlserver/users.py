"""What do the statements do that change users, roles and schemas of a database?"""

import re
import secrets

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.passwords import hashed, matches, require_policy
from tests.local.stand_ins.sqlserver.statement import Readers, Statements, record, refusal
from tests.local.stand_ins.sqlserver.tables import (
    BY_DATABASE,
    BY_INSTANCE,
    DATABASE,
    DB_OWNER,
    DBO,
    GUEST,
    NO_AUTHENTICATION,
    PRINCIPAL,
    Securable,
)
from tests.local.stand_ins.sqlserver.things import ENDPOINT, Thing, thing_named
from tests.local.stand_ins.sqlserver.tsql import syntax_error

CONTAINED_SID = bytes.fromhex("010500000000000903000000")
"""How the SID of a contained user begins; 16 bytes follow (create-user-transact-sql, example G)."""
SID_LENGTH = 16


class UserStatements(Statements):
    """Users, roles, schemas, and who owns what."""

    def create_user(self) -> None:
        """CREATE USER."""
        name, password, login = self._tokens.name(), None, ""
        self._statement.event = "CREATE_USER"
        if self._tokens.took("WITH", "PASSWORD", "="):
            password = self._tokens.text()
        elif not self._tokens.took("WITHOUT", "LOGIN"):
            self._tokens.expect("FOR", "LOGIN")
            login = self._tokens.name()
        options = self._user_options(first=password is None and self._tokens.took("WITH"))
        self._require("ALTER ANY USER", Securable(DATABASE), SqlError(15247, "User does not have permission."))
        self._require_writable()
        sid = options.pop("sid", None)
        if password is not None:
            sid = self._contained_sid(name, password, sid)
        elif login:
            sid = self._catalog.get("server_principals", "sid", name=login, type="S")
            if sid is None:
                raise SqlError(15007, f"'{login}' is not a valid login or you do not have permission.")
        self._require_new_principal(name)
        if sid and self._catalog.get("database_principals", "1", db=self._here, sid=sid):
            raise SqlError(15063, "The login already has an account under a different user name.")
        number = self._catalog.next_id("database_principals", "principal_id", 5)
        self._catalog.insert(
            "database_principals",
            db=self._here, principal_id=number, name=name, sid=sid, type="S", default_schema_name="dbo",
            authentication_type=BY_DATABASE if password else BY_INSTANCE if login else NO_AUTHENTICATION,
            password=hashed(password) if password else None,
        )  # fmt: skip
        self._catalog.update("database_principals", options, db=self._here, principal_id=number)
        record(self._catalog, self._here, Securable(DATABASE), number, "CONNECT", "GRANT")

    def alter_user(self) -> None:
        """ALTER USER."""
        name = self._tokens.name()
        self._statement.event = "ALTER_USER"
        self._tokens.expect("WITH")
        number = self._catalog.get("database_principals", "principal_id", db=self._here, name=name, type="S")
        if number is None:
            raise refusal("alter", "user", name)
        options: dict[str, Value]
        if self._tokens.took("PASSWORD", "="):
            allowed, options = self._new_contained_password(name, number)
        elif self._tokens.took("LOGIN", "="):
            allowed = self._catalog.allows(self._viewer, "CONTROL")
            options = {"sid": self._sid_to_map(number, self._tokens.name())}
        else:
            options = self._user_options(first=True)
            allowed = self._catalog.allows(self._viewer, "ALTER", Securable(PRINCIPAL, number))
        if not allowed:
            raise refusal("alter", "user", name)
        self._require_writable()
        self._catalog.update("database_principals", options, db=self._here, principal_id=number)

    def drop_user(self) -> None:
        """DROP USER."""
        name = self._tokens.name()
        self._statement.event = "DROP_USER"
        number = self._principal(name, "drop", "user", "S")
        self._require("ALTER ANY USER", Securable(DATABASE), refusal("drop", "user", name))
        self._require_writable()
        if number in (DBO, GUEST):
            raise SqlError(15150, f"Cannot drop the user '{name}'.")
        if self._catalog.get("schemas", "1", db=self._here, principal_id=number):
            raise SqlError(15138, "The database principal owns a schema in the database, and cannot be dropped.")
        self._catalog.delete("database_principals", db=self._here, principal_id=number)
        self._catalog.delete("database_role_members", db=self._here, member_principal_id=number)
        self._catalog.delete("database_permissions", db=self._here, grantee_principal_id=number)

    def create_role(self) -> None:
        """CREATE ROLE."""
        name, owner = self._tokens.name(), self._owner()
        self._require("CREATE ROLE", Securable(DATABASE), SqlError(262, "CREATE ROLE permission denied.", 14))
        self._require_new_principal(name)
        number = self._catalog.next_id("database_principals", "principal_id", 5)
        self._catalog.insert(
            "database_principals",
            db=self._here, principal_id=number, name=name, type="R", owning_principal_id=owner,
            authentication_type=NO_AUTHENTICATION,
        )  # fmt: skip

    def alter_role(self) -> None:
        """ALTER ROLE: add or drop a member."""
        name, verb = self._tokens.name(), self._tokens.one_of("ADD MEMBER", "DROP MEMBER")
        self._statement.event = "ADD_ROLE_MEMBER" if verb == "ADD MEMBER" else "DROP_ROLE_MEMBER"
        role, member_name = self._principal(name, "alter", "role", "R"), self._tokens.name()
        if role >= DB_OWNER:
            user = self._catalog.user_in(self._viewer, self._here)
            if user is None or not {DBO, DB_OWNER} & self._catalog.database_groups(self._here, user):
                raise refusal("alter", "role", name)
        else:
            self._require("ALTER", Securable(PRINCIPAL, role), refusal("alter", "role", name))
        self._require_writable()
        member = self._principal(member_name, "add", "principal")
        if member == DBO:
            raise SqlError(15405, f"Cannot use the special principal '{member_name}'.")
        membership: dict[str, Value] = {"db": self._here, "role_principal_id": role, "member_principal_id": member}
        self._catalog.delete("database_role_members", **membership)
        if verb == "ADD MEMBER":
            self._catalog.insert("database_role_members", **membership)

    def create_schema(self) -> None:
        """CREATE SCHEMA."""
        name, owner = self._tokens.name(), self._owner()
        self._require("CREATE SCHEMA", Securable(DATABASE), SqlError(2760, "The schema cannot be created."))
        if self._catalog.get("schemas", "1", db=self._here, name=name):
            raise SqlError(2714, f"There is already an object named '{name}' in the database.")
        number = self._catalog.next_id("schemas", "schema_id", 5)
        self._catalog.insert("schemas", db=self._here, name=name, schema_id=number, principal_id=owner)

    def alter_authorization(self) -> None:
        """ALTER AUTHORIZATION: change an owner."""
        if thing := thing_named(self._tokens, "::"):
            self._change_owner(thing)
            return
        keyword = self._tokens.one_of("SCHEMA", "ROLE", "DATABASE", "OBJECT")
        self._tokens.expect("::")
        names = self._tokens.names()
        self._tokens.expect("TO")
        to = self._tokens.name()
        self._require("CONTROL", Securable(DATABASE), refusal("find", keyword.lower(), names[-1]))
        if keyword == "DATABASE":
            sid = self._catalog.get("server_principals", "sid", name=to)
            self._catalog.update("databases", {"owner_sid": sid}, name=names[0])
            self._catalog.update("database_principals", {"sid": sid}, db=names[0], principal_id=DBO)
            return
        owner, here = self._principal(to, "find", "principal"), self._here
        if keyword == "OBJECT":
            number = self._catalog.object_named(self._viewer, names)
            self._catalog.update("all_objects", {"principal_id": owner}, db=here, object_id=number)
        elif keyword == "SCHEMA":
            self._catalog.update("schemas", {"principal_id": owner}, db=here, name=names[0])
        else:
            self._catalog.update("database_principals", {"owning_principal_id": owner}, db=here, name=names[0])

    def create_thing(self, thing: Thing | None = None) -> None:
        """CREATE anything that only has a name, an owner, and perhaps a schema here."""
        thing = thing or thing_named(self._tokens)
        if not thing:
            raise syntax_error(self._tokens.peek().spelling)
        names, of_server = self._tokens.names(), thing.class_id == ENDPOINT
        viewer = self._viewer.login if of_server else self._catalog.user_in(self._viewer, self._here)
        owner = self._owner_of(of_server=of_server) if self._tokens.took("AUTHORIZATION") else viewer
        self._tokens.rest()
        self._require("CONTROL", Securable(DATABASE), SqlError(15247, "User does not have permission."))
        values: dict[str, Value] = {"db": "" if of_server else self._here, "name": names[-1]}
        if thing.has_schema:
            values["schema_id"] = self._catalog.get("schemas", "schema_id", db=self._here, name=names[-2])
            owner = None  # "If the owner is not specified, ownership … will be given to the owner of the schema"
        number = self._catalog.next_id(thing.view, thing.key, 1)
        self._catalog.insert(thing.view, **{thing.key: number}, principal_id=owner, **values)

    def _owner_of(self, *, of_server: bool) -> int:
        find = self._server_principal if of_server else self._principal
        return find(self._tokens.name(), "find", "principal")

    def _change_owner(self, thing: Thing) -> None:
        names, of_server = self._tokens.names(), thing.class_id == ENDPOINT
        self._tokens.expect("TO")
        is_schemas = self._tokens.took("SCHEMA", "OWNER")
        owner = None if is_schemas else self._owner_of(of_server=of_server)
        self._require("CONTROL", Securable(DATABASE), refusal("find", thing.keyword.lower(), names[-1]))
        number = self._thing_id(thing, names)
        key: dict[str, Value] = {"db": "" if of_server else self._here, thing.key: number}
        self._catalog.update(thing.view, {"principal_id": owner}, **key)
        # "Any permissions … on the entity are dropped" (alter-authorization-transact-sql, of a change of owner)
        table = "server_permissions" if of_server else "database_permissions"
        self._catalog.delete(table, **{"class": thing.class_id, "major_id": number})

    def _require_new_principal(self, name: str) -> None:
        if self._catalog.get("database_principals", "1", db=self._here, name=name):
            raise SqlError(15023, f"User, group, or role '{name}' already exists in the current database.")

    def _contained_sid(self, name: str, password: str, sid: Value) -> bytes:
        if not self._catalog.get("databases", "containment", name=self._here):
            raise SqlError(33233, "You can only create a user with a password in a contained database.")
        require_policy(name, password)
        if sid is None:
            return CONTAINED_SID + secrets.token_bytes(SID_LENGTH)
        if not isinstance(sid, bytes) or not re.fullmatch(re.escape(CONTAINED_SID) + b".{16}", sid, re.DOTALL):
            raise SqlError(15419, "Supplied parameter sid is not that of a contained user.")
        return sid

    def _new_contained_password(self, name: str, number: int) -> tuple[bool, dict[str, Value]]:
        password, old = self._passwords()
        key: dict[str, Value] = {"db": self._here, "principal_id": number, "authentication_type": BY_DATABASE}
        present = self._catalog.get("database_principals", "password", **key)
        allowed = present is not None and self._catalog.allows(self._viewer, "ALTER ANY USER")
        if old is not None:
            itself = number == self._catalog.user_in(self._viewer, self._here)
            allowed = (allowed or itself) and matches(old, present)
        if allowed:
            require_policy(name, password)
        return allowed, {"password": hashed(password)}

    def _sid_to_map(self, number: int, login: str) -> bytes:
        sid = self._catalog.get("server_principals", "sid", name=login, type="S")
        kind = self._catalog.get("database_principals", "authentication_type", db=self._here, principal_id=number)
        if not isinstance(sid, bytes) or kind != BY_INSTANCE:
            raise SqlError(33016, "The user cannot be remapped to a login.")
        return sid

    def _user_options(self, *, first: bool) -> dict[str, Value]:
        readers: Readers = {
            "DEFAULT_SCHEMA": ("default_schema_name", self._tokens.name),
            "DEFAULT_LANGUAGE": ("default_language_name", self._language),
            "SID": ("sid", self._tokens.binary),
            "ALLOW_ENCRYPTED_VALUE_MODIFICATIONS": ("allow_encrypted_value_modifications", self._tokens.switch),
        }
        return self._options(readers, first=first)

    def _language(self) -> str | None:
        return None if self._tokens.took("NONE") else self._tokens.name()

    def _owner(self) -> int | None:
        if self._tokens.took("AUTHORIZATION"):
            return self._principal(self._tokens.name(), "find", "user")
        return self._catalog.user_in(self._viewer, self._here)
