"""Which rights does the catalog of the stand-in for Db2 have, and how are GRANT and REVOKE parsed?

The views are those of https://www.ibm.com/docs/en/db2/11.5?topic=views-road-map-catalog, with the columns about rights.
SQLite keeps them, and the tables of users, so queries and transactions are complete. GRANT and REVOKE follow IBM's SQL
reference, word by word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

TOKEN = re.compile(
    r'\s*(?:(?P<name>"(?:[^"]|"")+")|(?P<text>\'(?:[^\']|\'\')*\')|(?P<number>\d+)'
    r"|(?P<word>[A-Za-z_@#$][\w@#$]*)|(?P<mark><>|\S))"
)

SYSTEM = "SYSIBM"

GRANT = ("GRANTOR", "GRANTORTYPE", "GRANTEE", "GRANTEETYPE")


class Db2Error(Exception):
    """An error of the server. The client makes the message from code and tokens."""

    def __init__(self, code: int, state: str, *tokens: str) -> None:
        super().__init__(code, *tokens)
        self.code = code
        self.state = state
        self.tokens = tokens


@dataclass(frozen=True)
class Token:
    """A word, name, text, number or mark of a statement."""

    kind: str
    text: str

    @property
    def name(self) -> str:
        """The name: folded to upper case, unless it is quoted."""
        return self.text[1:-1].replace('""', '"') if self.kind == "name" else self.text.upper()

    @property
    def is_identifier(self) -> bool:
        """Whether it can be a name."""
        return self.kind in {"name", "word"}


class Tokens:
    """A statement as tokens, and how far it was read."""

    def __init__(self, statement: str) -> None:
        self.all = _tokens(statement)
        self.at = 0

    @property
    def markers(self) -> int:
        """How many parameters it has."""
        return sum(token.text == "?" for token in self.all)

    def peek(self, ahead: int = 0) -> str:
        """Return a word further on, folded; empty if it is quoted, or at the end."""
        place = self.at + ahead
        token = self.all[place] if place < len(self.all) else None
        return token.text.upper() if token and token.kind not in {"name", "text"} else ""

    def take(self, *words: str) -> bool:
        """Take these words if they come next."""
        if any(self.peek(ahead) != word for ahead, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def require(self, *words: str) -> None:
        """Take these words; raises SQL0104N."""
        if not self.take(*words):
            raise self.unexpected(" ".join(words))

    def identifier(self) -> str:
        """Take a name."""
        if self.at >= len(self.all) or not self.all[self.at].is_identifier:
            raise self.unexpected("<identifier>")
        self.at += 1
        return self.all[self.at - 1].name

    def qualified(self, schema: str) -> tuple[str, str]:
        """Take a name of two parts, or one in the current schema."""
        name = self.identifier()
        return (name, self.identifier()) if self.take(".") else (schema, name)

    def end(self) -> None:
        """Raise SQL0104N if anything is left."""
        if self.at < len(self.all):
            raise self.unexpected("END-OF-STATEMENT")

    def unexpected(self, expected: str) -> Db2Error:
        """Return SQL0104N."""
        token = self.all[self.at].text if self.at < len(self.all) else "END-OF-STATEMENT"
        before = self.all[self.at - 1].text if self.at else "BEGIN-OF-STATEMENT"
        return Db2Error(-104, "42601", token, before, expected)


@cache
def _tokens(statement: str) -> Sequence[Token]:
    """Return the tokens of a statement, which is read twice at least."""
    return tuple(Token(str(match.lastgroup), str(match[str(match.lastgroup)])) for match in TOKEN.finditer(statement))


@dataclass(frozen=True)
class Kind:
    """A kind of object, and the privileges on it."""

    view: str
    keys: tuple[str, ...]
    privileges: dict[str, str]
    """Each privilege, and its column."""
    never_grantable: frozenset[str] = frozenset()
    restrict: bool = False
    extra: tuple[str, ...] = field(default=())
    """Columns without a meaning in the stand-in."""


DATABASE_PRIVILEGES = {
    "BINDADD": "BINDADDAUTH",
    "CONNECT": "CONNECTAUTH",
    "CREATETAB": "CREATETABAUTH",
    "DBADM": "DBADMAUTH",
    "CREATE_EXTERNAL_ROUTINE": "EXTERNALROUTINEAUTH",
    "IMPLICIT_SCHEMA": "IMPLSCHEMAAUTH",
    "LOAD": "LOADAUTH",
    "CREATE_NOT_FENCED_ROUTINE": "NOFENCEAUTH",
    "QUIESCE_CONNECT": "QUIESCECONNECTAUTH",
    "SECADM": "SECURITYADMAUTH",
    "SQLADM": "SQLADMAUTH",
    "WLMADM": "WLMADMAUTH",
    "EXPLAIN": "EXPLAINAUTH",
    "DATAACCESS": "DATAACCESSAUTH",
    "ACCESSCTRL": "ACCESSCTRLAUTH",
    "CREATE_SECURE_OBJECT": "CREATESECUREAUTH",
}
SCHEMA_AUTHORITIES = frozenset({"SCHEMAADM", "ACCESSCTRL", "DATAACCESS", "LOAD"})
SCHEMA_PRIVILEGES = {
    f"{verb}IN": f"{verb}INAUTH"
    for verb in ("ALTER", "CREATE", "DROP", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
} | {name: f"{name}AUTH" for name in SCHEMA_AUTHORITIES}
TABLE_PRIVILEGES = {
    name: f"{name.replace('REFERENCES', 'REF')}AUTH"
    for name in ("CONTROL", "ALTER", "DELETE", "INDEX", "INSERT", "REFERENCES", "SELECT", "UPDATE")
}
CONTROL = frozenset({"CONTROL"})

KINDS: dict[str, Kind] = {
    "DATABASE": Kind("DBAUTH", (), DATABASE_PRIVILEGES, frozenset(DATABASE_PRIVILEGES), extra=("LIBRARYADMAUTH",)),
    "SCHEMA": Kind("SCHEMAAUTH", ("SCHEMANAME",), SCHEMA_PRIVILEGES, SCHEMA_AUTHORITIES),
    "TABLE": Kind("TABAUTH", ("TABSCHEMA", "TABNAME"), TABLE_PRIVILEGES, CONTROL),
    "INDEX": Kind("INDEXAUTH", ("INDSCHEMA", "INDNAME"), {"CONTROL": "CONTROLAUTH"}, CONTROL),
    "PACKAGE": Kind(
        "PACKAGEAUTH",
        ("PKGSCHEMA", "PKGNAME"),
        {"CONTROL": "CONTROLAUTH", "BIND": "BINDAUTH", "EXECUTE": "EXECUTEAUTH"},
        CONTROL,
    ),
    "ROUTINE": Kind(
        "ROUTINEAUTH",
        ("SCHEMA", "SPECIFICNAME", "ROUTINETYPE"),
        {"EXECUTE": "EXECUTEAUTH"},
        restrict=True,
        extra=("TYPESCHEMA", "TYPENAME"),
    ),
    "MODULE": Kind("MODULEAUTH", ("MODULESCHEMA", "MODULENAME"), {"EXECUTE": "EXECUTEAUTH"}),
    "SEQUENCE": Kind("SEQUENCEAUTH", ("SEQSCHEMA", "SEQNAME"), {"ALTER": "ALTERAUTH", "USAGE": "USAGEAUTH"}),
    "VARIABLE": Kind("VARIABLEAUTH", ("VARSCHEMA", "VARNAME"), {"READ": "READAUTH", "WRITE": "WRITEAUTH"}),
    "TABLESPACE": Kind("TBSPACEAUTH", ("TBSPACE",), {"USE": "USEAUTH"}),
    "WORKLOAD": Kind("WORKLOADAUTH", ("WORKLOADNAME",), {"USAGE": "USAGEAUTH"}, frozenset({"USAGE"})),
    "XSROBJECT": Kind("XSROBJECTAUTH", ("OBJECTID",), {"USAGE": "USAGEAUTH"}, frozenset({"USAGE"})),
}

OTHER_VIEWS = {
    "COLAUTH": (*GRANT, "TABSCHEMA", "TABNAME", "COLNAME", "PRIVTYPE", "GRANTABLE"),
    "ROLEAUTH": (*GRANT, "ROLENAME", "ADMIN"),
    "PASSTHRUAUTH": (*GRANT, "SERVERNAME"),
    "SURROGATEAUTHIDS": ("GRANTOR", "TRUSTEDID", "TRUSTEDIDTYPE", "SURROGATEAUTHID", "SURROGATEAUTHIDTYPE"),
    "SECURITYLABELACCESS": ("GRANTOR", "GRANTEE", "GRANTEETYPE", "SECLABELID", "SECPOLICYID", "ACCESSTYPE"),
    "SECURITYLABELS": ("SECLABELNAME", "SECLABELID", "SECPOLICYID"),
    "SECURITYPOLICIES": ("SECPOLICYNAME", "SECPOLICYID"),
    "SECURITYPOLICYEXEMPTIONS": (
        "GRANTOR",
        "GRANTEE",
        "GRANTEETYPE",
        "SECPOLICYID",
        "ACCESSRULENAME",
        "ACCESSTYPE",
        "ACTIONALLOWED",
    ),
    "XSROBJECTS": ("OBJECTID", "OBJECTSCHEMA", "OBJECTNAME"),
    "CONTEXTS": ("CONTEXTNAME", "SYSTEMAUTHID", "ENABLED"),
    "USEROPTIONS": ("AUTHID", "AUTHIDTYPE", "SERVERNAME", "OPTION", "SETTING"),
    "AUDITUSE": ("AUDITPOLICYNAME", "OBJECTTYPE", "SUBOBJECTTYPE", "OBJECTSCHEMA", "OBJECTNAME"),
    "TABDEP": ("TABSCHEMA", "TABNAME", "DTYPE", "OWNER", "BTYPE", "BSCHEMA", "BNAME"),
    "TRIGDEP": ("TRIGSCHEMA", "TRIGNAME", "BTYPE", "BSCHEMA", "BNAME"),
    "TRIGGERS": ("TRIGSCHEMA", "TRIGNAME", "OWNER", "VALID"),
    "WORKLOADCONNATTR": ("WORKLOADID", "WORKLOADNAME", "CONNATTRTYPE", "CONNATTRVALUE"),
}

OBJECT_VIEWS = {
    "TABLES": "\"schema\" AS TABSCHEMA, name AS TABNAME FROM objects WHERE kind IN ('TABLE', 'VIEW', 'ALIAS')",
    "ROUTINES": "\"schema\" AS ROUTINESCHEMA, name AS ROUTINENAME FROM objects WHERE kind = 'ROUTINE'",
    "SEQUENCES": "\"schema\" AS SEQSCHEMA, name AS SEQNAME, 'S' AS SEQTYPE FROM objects WHERE kind = 'SEQUENCE'",
    "DATATYPES": "\"schema\" AS TYPESCHEMA, name AS TYPENAME FROM objects WHERE kind = 'TYPE'",
    "VARIABLES": "\"schema\" AS VARSCHEMA, name AS VARNAME FROM objects WHERE kind = 'VARIABLE'",
    "MODULES": "\"schema\" AS MODULESCHEMA, name AS MODULENAME FROM objects WHERE kind = 'MODULE'",
    "INDEXES": '"schema" AS INDSCHEMA, name AS INDNAME, "schema" <> \'SYSIBM\' AS USER_DEFINED'
    " FROM objects WHERE kind = 'INDEX'",
}
"""The views of objects, with a few columns: https://www.ibm.com/docs/en/db2/11.5?topic=views-road-map-catalog."""


CONFIGURATION = "SYSIBMADM.DBCFG"
"""https://www.ibm.com/docs/en/db2/11.5?topic=views-dbcfg-database-configuration-parameter-information"""


def schema() -> Iterator[str]:
    """Yield the statements that create an empty catalog in SQLite."""
    for kind in KINDS.values():
        rights = [f"{column} DEFAULT 'N'" for column in (*kind.privileges.values(), *kind.extra)]
        yield _table(kind.view, [*GRANT, *kind.keys, *rights])
        yield _index(kind.view)
    for view, columns in OTHER_VIEWS.items():
        yield _table(view, columns)
    yield _index("ROLEAUTH")
    yield f'CREATE TABLE "{CONFIGURATION}" (DBPARTITIONNUM, NAME, VALUE, DEFERRED_VALUE)'
    yield f"INSERT INTO \"{CONFIGURATION}\" VALUES (0, 'connect_proc', '', '')"  # noqa: S608 - constants
    yield f"INSERT INTO \"{CONFIGURATION}\" VALUES (0, 'hadr_db_role', 'STANDARD', '')"  # noqa: S608 - constants
    yield 'CREATE TABLE objects (kind, "schema", name, target)'
    for view, query in OBJECT_VIEWS.items():
        yield f'CREATE VIEW "SYSCAT.{view}" AS SELECT {query}'


def _table(view: str, columns: Sequence[str]) -> str:
    return f'CREATE TABLE "SYSCAT.{view}" ({", ".join(columns)})'


def _index(view: str) -> str:
    """Return the statement without which each question about a user reads the rights of all users there ever were."""
    return f'CREATE INDEX "BY GRANTEE {view}" ON "SYSCAT.{view}" (GRANTEE, GRANTEETYPE)'


def is_catalog(schema_name: str, name: str) -> bool:
    """Tell whether there is such a view."""
    if schema_name != "SYSCAT":
        return f"{schema_name}.{name}" == CONFIGURATION
    return name in OTHER_VIEWS | OBJECT_VIEWS or any(kind.view == name for kind in KINDS.values())


@dataclass(frozen=True)
class Item:
    """One right in a GRANT or REVOKE."""

    privilege: str
    kind: str
    keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    """The authorities that a grant of DBADM leaves out."""


@dataclass(frozen=True)
class Clause:
    """A parsed GRANT or REVOKE."""

    grants: bool
    items: tuple[Item, ...]
    grantee: str
    grantee_kind: str
    option: str = ""
    """GRANT or ADMIN, or the kind of access to a security label."""


def read(tokens: Tokens, current: str) -> Clause:
    """Parse a GRANT or REVOKE; raises SQL0104N if it does not follow the grammar."""
    grants = tokens.take("GRANT")
    if not grants:
        tokens.require("REVOKE")
    items = tuple(_items(tokens, current))
    tokens.require("TO" if grants else "FROM")
    if tokens.take("PUBLIC"):
        grantee, grantee_kind = "PUBLIC", "G"
    else:
        word = tokens.peek()
        if word not in {"USER", "GROUP", "ROLE"}:
            raise tokens.unexpected("USER")
        tokens.require(word)
        grantee, grantee_kind = tokens.identifier(), word[0]
    kinds = {item.kind for item in items}
    if kinds == {"XSROBJECT"} and grantee != "PUBLIC":
        # https://www.ibm.com/docs/SSEPGG_11.5.0/com.ibm.db2.luw.sql.ref.doc/doc/r0023749.html
        raise Db2Error(-104, "42601", grantee, "TO" if grants else "FROM", "PUBLIC")
    option = _option(tokens, kinds) if grants else ""
    if not grants and any(KINDS[kind].restrict for kind in kinds & KINDS.keys()):
        tokens.require("RESTRICT")
    tokens.end()
    return Clause(grants, items, grantee, grantee_kind, option)


def _option(tokens: Tokens, kinds: set[str]) -> str:
    if kinds == {"LABEL"}:
        tokens.require("FOR")
        access = tokens.identifier()
        tokens.require("ACCESS")
        return access
    if kinds == {"ROLE"}:
        return "ADMIN" if tokens.take("WITH", "ADMIN", "OPTION") else ""
    if tokens.take("WITH", "GRANT", "OPTION"):
        return "GRANT"
    return ""


def _items(tokens: Tokens, current: str) -> Iterator[Item]:
    if tokens.take("ROLE"):
        yield Item("ROLE", "ROLE", (tokens.identifier(),))
    elif tokens.take("SECURITY", "LABEL"):
        policy = tokens.identifier()
        tokens.require(".")
        yield Item("LABEL", "LABEL", (policy, tokens.identifier()))
    elif tokens.take("EXEMPTION", "ON", "RULE"):
        rule = tokens.identifier()
        direction = {"WRITEDOWN": "D", "WRITEUP": "U"}.get(tokens.peek(), "")
        if direction:
            tokens.identifier()
        tokens.require("FOR")
        yield Item("EXEMPTION", "EXEMPTION", (tokens.identifier(), rule, direction))
    elif tokens.take("SETSESSIONUSER", "ON"):
        if tokens.take("PUBLIC"):
            yield Item("SETSESSIONUSER", "SURROGATE", ("PUBLIC", "G"))
        else:
            tokens.require("USER")
            yield Item("SETSESSIONUSER", "SURROGATE", (tokens.identifier(), "U"))
    elif tokens.take("PASSTHRU", "ON", "SERVER"):
        yield Item("PASSTHRU", "SERVER", (tokens.identifier(),))
    elif tokens.take("USE", "OF", "TABLESPACE"):
        yield Item("USE", "TABLESPACE", (tokens.identifier(),))
    else:
        yield from _on_object(tokens, current)


def _on_object(tokens: Tokens, current: str) -> Iterator[Item]:
    privileges: list[tuple[str, tuple[str, ...], frozenset[str]]] = []
    while True:
        name, columns, scope = tokens.identifier(), tuple[str, ...](), set[str]()
        while name == "DBADM" and tokens.peek() in {"WITH", "WITHOUT"}:
            if tokens.take("WITHOUT"):
                scope.add(tokens.identifier())
            else:
                tokens.require("WITH")
                tokens.identifier()
        if tokens.take("("):
            columns = (tokens.identifier(),)
            while tokens.take(","):
                columns = (*columns, tokens.identifier())
            tokens.require(")")
        privileges.append((name, columns, frozenset(scope)))
        if not tokens.take(","):
            break
    tokens.require("ON")
    kind, keys = _object(tokens, current)
    for name, columns, without in privileges:
        if name not in KINDS[kind].privileges or (columns and (kind, name) not in COLUMN_PRIVILEGES):
            raise Db2Error(-104, "42601", name, kind, "<privilege>")
        yield Item(name, kind, keys, columns, without)


COLUMN_PRIVILEGES = frozenset({("TABLE", "UPDATE"), ("TABLE", "REFERENCES")})


def _object(tokens: Tokens, current: str) -> tuple[str, tuple[str, ...]]:
    if tokens.take("DATABASE"):
        return "DATABASE", ()
    for kind in ("SCHEMA", "WORKLOAD"):
        if tokens.take(kind):
            return kind, (tokens.identifier(),)
    for kind in ("INDEX", "PACKAGE", "MODULE", "SEQUENCE", "VARIABLE", "XSROBJECT"):
        if tokens.take(kind):
            return kind, tokens.qualified(current)
    specific = tokens.take("SPECIFIC")
    for kind in ("FUNCTION", "PROCEDURE", "METHOD"):
        if tokens.take(kind):
            where = tokens.identifier()
            tokens.require(".")
            return "ROUTINE", (where, "" if not specific and tokens.take("*") else tokens.identifier(), kind[0])
    if specific:
        raise tokens.unexpected("FUNCTION")
    tokens.take("TABLE")
    return "TABLE", tokens.qualified(current)
