"""Names, passwords and objects that are made to break things: does it rotate exactly, or refuse and change nothing?"""

import functools
import json
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import psycopg2
import pymysql
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.errors import InvalidSecret, RotationError, Unexpected, Unsupported
from rotation.kind import Strategy, counterpart
from rotation.lambda_handler import rotation_handler
from rotation.steps import Step
from tests.clients import forget_clients
from tests.contract.sql_log import MYSQL, POSTGRESQL, Grammar
from tests.fakes import FakeLaboratory
from tests.laboratories import Laboratory
from tests.laboratories.mysql import MySQLLaboratory, quoted
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.profiles import examples

PIECES = [
    "'", "''", '"', "\\", "\\'", "`", "%", "%s", "%(a)s", "{}", "{0}", ";", " -- ", "#", "/*", "*/", "$$", "$1", "?",
    ":a", "@", "@'%'", " ", "\u05d0", "ü", "u\u0308", "\U0001f600", "SELECT", "_clone",
]  # fmt: skip
"""Quotes, escapes, placeholders, comments; from right to left, of four bytes, of two characters."""
CONTROLS = ["\n", "\r", "\t", "\x01", "\x1a", "\x7f", "\u202e", "\u2028"]
"""What objects may have in their names, and a secret in none of its texts."""
QUOTES = ("'\"`\\", "\\'\"`%s{};--")
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
ANYTHING = st.lists(st.sampled_from([*PIECES, *CONTROLS]), min_size=1, max_size=5).map("".join)
PASSWORDS = st.tuples(HOSTILE, HOSTILE, HOSTILE).map("aA1!".join) | ANYTHING.map("aA1!".__add__) | st.sampled_from([
    " ", "null", "'" * 200, "\U0001f600" * 30, "x" * 128, "x" * 1000,
])  # fmt: skip
NAMES = st.one_of(
    st.tuples(HOSTILE, HOSTILE),
    st.tuples(HOSTILE, st.just("")),
    st.tuples(st.just(""), HOSTILE),
    st.tuples(ANYTHING, HOSTILE),
    # At the limits of the engines, and over them; with the clone's suffix, too.
    st.sampled_from([20, 26, 50, 57, 58, 115, 122, 123]).map(lambda length: ("'" * 2, "x" * (length - 2))),
    st.sampled_from(["user", "USER", "select", "none", "public", "current_user", "default", "%"]),
)
STRATEGIES = st.sampled_from(list(Strategy))


if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_secretsmanager import SecretsManagerClient


class Context:
    """As much of Lambda's context as the function uses."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "rotation"

    def get_remaining_time_in_millis(self) -> int:
        """Say that there is time enough."""
        return 30_000


@pytest.fixture(scope="module")
def service() -> Iterator[LocalSecretsManager]:
    """Secrets Manager, and the handler's calls to AWS go there."""
    with LocalSecretsManager(attempts=1) as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        patch.setenv("EXCLUDE_CHARACTERS", "")
        forget_clients()
        yield service
        forget_clients()


@dataclass
class Rotated:
    """A secret that has been rotated once, or not."""

    laboratory: Laboratory
    service: LocalSecretsManager

    def __post_init__(self) -> None:
        self.client = operator(self.service)

    def run(self, value: str | bytes, pending: Mapping[str, object] | None = None) -> RotationError | None:
        """Store a secret, and do the four steps, up to the first that fails.

        `pending` is a version that somebody has written before createSecret came.
        """
        what = {"SecretBinary": value} if isinstance(value, bytes) else {"SecretString": value}
        self.arn = self.client.create_secret(Name=f"hostile-{secrets.token_hex(4)}", **what)["ARN"]
        return self.rotate(pending)

    def rotate(self, pending: Mapping[str, object] | None = None) -> RotationError | None:
        """Rotate the secret that is stored."""
        token = str(uuid.uuid4())
        function = self.service.register("hostile", lambda _: None)
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=function, ClientRequestToken=token)
        self.service.wait(self.arn)
        if pending:
            self.client.put_secret_value(
                SecretId=self.arn,
                ClientRequestToken=token,
                SecretString=json.dumps(pending),
                VersionStages=["AWSPENDING"],
            )
        handle = rotation_handler(self.laboratory.engine)
        for step in Step:
            try:
                handle(
                    {"Step": step, "SecretId": self.arn, "ClientRequestToken": token}, cast("LambdaContext", Context())
                )
            except RotationError as error:
                return error
        return None

    def read(self, label: str = "AWSCURRENT") -> dict[str, object]:
        """Return a version's fields."""
        text = self.client.get_secret_value(SecretId=self.arn, VersionStage=label)["SecretString"]
        return cast("dict[str, object]", json.loads(text))


def hostile_names_and_passwords(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with so many of them."""
    drawn = given(name=NAMES, old=PASSWORDS, new=st.none() | PASSWORDS, strategy=STRATEGIES)

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        for strategy in Strategy:  # every quote, whatever is drawn
            test = example(name=QUOTES, old="aA1!".join(QUOTES), new="aA1!" + QUOTES[1], strategy=strategy)(test)
        return examples(count)(drawn(test))

    return decorated


@hostile_names_and_passwords(12)
def test_postgresql_rotates_exactly_or_refuses_and_changes_nothing(
    postgresql: Laboratory,
    service: LocalSecretsManager,
    **drawn: Any,  # noqa: ANN401 - what hypothesis draws
) -> None:
    rotate_or_refuse(postgresql, service, POSTGRESQL, **drawn)


@hostile_names_and_passwords(12)
def test_mysql_rotates_exactly_or_refuses_and_changes_nothing(
    mysql: Laboratory,
    service: LocalSecretsManager,
    **drawn: Any,  # noqa: ANN401 - what hypothesis draws
) -> None:
    rotate_or_refuse(mysql, service, MYSQL, **drawn)


@hostile_names_and_passwords(12)
def test_mariadb_rotates_exactly_or_refuses_and_changes_nothing(
    mariadb: Laboratory,
    service: LocalSecretsManager,
    **drawn: Any,  # noqa: ANN401 - what hypothesis draws
) -> None:
    rotate_or_refuse(mariadb, service, MYSQL, **drawn)


@hostile_names_and_passwords(40)
def test_if_the_server_takes_every_text_the_program_rotates_exactly_or_refuses(
    service: LocalSecretsManager,
    **drawn: Any,  # noqa: ANN401 - what hypothesis draws
) -> None:
    rotate_or_refuse(FakeLaboratory(), service, None, **drawn)


ODD = [7, 7.5, True, None, [], ["text"], {}, {"text": "text"}, "", "a\0b", "\ud800"]
OURS = ["engine", "host", "port", "username", "password", "dbname", "masterarn", "ssl", "rotation"]
FINE = {("port", 7), ("ssl", True), ("dbname", None), ("dbname", "")}
"""What is read, odd as it is."""


@examples(40)
@given(key=st.sampled_from(OURS), odd=st.sampled_from(ODD), own=ANYTHING)
def test_a_field_that_is_something_else_is_named_and_nothing_is_changed(
    service: LocalSecretsManager, key: str, odd: object, own: str
) -> None:
    assume(key != "rotation" or not isinstance(odd, dict))  # that is what it is
    laboratory = FakeLaboratory()
    user, rotated = laboratory.new_user(), Rotated(laboratory, service)
    fields = {**fields_of(laboratory, service, user, Strategy.SINGLE_USER), f"own {own}": own, key: odd}
    error = rotated.run(json.dumps(fields))
    if isinstance(odd, list | dict) or (key, odd) not in FINE:
        assert isinstance(error, InvalidSecret), repr(error)
        assert f'"{key}"' in error.cause
        assert not laboratory.engine.tried
        assert not laboratory.engine.log
        assert laboratory.logs_in(user)
        assert rotated.read() == fields
    elif key != "port":  # there is no server at the odd one
        assert error is None
        assert rotated.read() == {**fields, "password": rotated.read()["password"]}


@pytest.mark.parametrize(
    "value",
    [b"binary", b'{"engine": "fake"}', "not JSON", "[]", '{"password": "a", "password": "b"}', "[" * 60_000],
    ids=["binary", "binary JSON", "no JSON", "a list", "a key twice", "nested deeply"],
)
def test_a_secret_that_is_no_object_is_refused_and_nothing_is_changed(
    service: LocalSecretsManager, value: str | bytes
) -> None:
    laboratory = FakeLaboratory()
    rotated = Rotated(laboratory, service)
    assert isinstance(rotated.run(value), InvalidSecret)
    assert not laboratory.engine.tried
    assert not laboratory.engine.log


def test_a_secret_of_the_largest_size_rotates_and_keeps_all_that_is_in_it(service: LocalSecretsManager) -> None:
    laboratory = FakeLaboratory()
    user, rotated = laboratory.new_user(password="x" * 32), Rotated(laboratory, service)
    fields: dict[str, object] = {
        **fields_of(laboratory, service, user, Strategy.SINGLE_USER),
        "many": [0] * 10_000,
        "own": "",
    }
    compact = json.dumps(fields, separators=(",", ":"))
    fields["own"] = "x" * (65_536 - 50 - len(compact))  # the new password may need a few escapes
    assert rotated.run(json.dumps(fields, separators=(",", ":"))) is None
    assert rotated.read() == {**fields, "password": rotated.read()["password"]}


@examples(5)
@given(schema=ANYTHING, table=ANYTHING, column=ANYTHING)
def test_rights_on_objects_of_hostile_names_follow_on_postgresql(
    postgresql: PostgreSQLLaboratory, service: LocalSecretsManager, schema: str, table: str, column: str
) -> None:
    marker, user = secrets.token_hex(3), postgresql.new_user()
    names = [schema + marker, marker + table, column + marker]
    schema_, table_, column_ = map(Identifier, names)
    place = SQL("{}.{}").format(schema_, table_)
    read = SQL("SELECT {} FROM {}").format(column_, place)

    def grant(username: str) -> None:
        with postgresql.session() as run:
            run(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema_, Identifier(username)))
            run(SQL("GRANT SELECT ({}) ON {} TO {}").format(column_, place, Identifier(username)))

    with postgresql.session() as run:
        admin = Identifier(postgresql.admin.username)
        run(SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema_, admin))
        run(SQL("CREATE TABLE {} ({} int)").format(place, column_))
        run(SQL("ALTER TABLE {} OWNER TO {}").format(place, admin))
    log, rotated = len(postgresql.log_text()), Rotated(postgresql, service)
    assert rotated.run(json.dumps(fields_of(postgresql, service, user, Strategy.ALTERNATING_USERS))) is None
    # What the clone is granted while it is the current user passes to the original, name by name.
    grant(str(rotated.read()["username"]))
    assert rotated.rotate() is None
    now = rotated.read()
    assert now["username"] == user.username
    with postgresql.session(replace(user, password=str(now["password"]))) as run:
        run(read)
    assert POSTGRESQL.pasted(postgresql.log_text()[log:], marker, set(names)) == []
    with postgresql.session() as run:
        run(SQL("DROP SCHEMA {} CASCADE").format(schema_))


@examples(5)
@given(schema=ANYTHING, table=ANYTHING, column=ANYTHING)
def test_rights_on_objects_of_hostile_names_follow_on_mysql(
    mysql: MySQLLaboratory, service: LocalSecretsManager, schema: str, table: str, column: str
) -> None:
    follow_on_mysql(mysql, service, schema, table, column)


@examples(5)
@given(schema=ANYTHING, table=ANYTHING, column=ANYTHING)
def test_rights_on_objects_of_hostile_names_follow_on_mariadb(
    mariadb: MySQLLaboratory, service: LocalSecretsManager, schema: str, table: str, column: str
) -> None:
    follow_on_mysql(mariadb, service, schema, table, column)


def follow_on_mysql(
    laboratory: MySQLLaboratory, service: LocalSecretsManager, schema: str, table: str, column: str
) -> None:
    """Grant a user something on a database, a table and a column of hostile names, and rotate it."""
    marker, user = secrets.token_hex(3), laboratory.new_user()
    names = [schema + marker, marker + table, column + marker]
    schema_, table_, column_ = ("`" + name.replace("`", "``") + "`" for name in names)
    with laboratory.session() as run:
        try:
            run(f"CREATE DATABASE {schema_}")
            run(f"CREATE TABLE {schema_}.{table_} ({column_} int, other int)")
        except pymysql.MySQLError:
            return  # the server knows no such names
        run(f"GRANT SELECT ({column_}) ON {schema_}.{table_} TO {quoted(user.username)}@'%'")
        run(f"GRANT INSERT ON {schema_}.{table_} TO {quoted(user.username)}@'%'")
        run(f"GRANT CREATE VIEW ON {schema_}.* TO {quoted(user.username)}@'%'")
    log, rotated = len(laboratory.log_text()), Rotated(laboratory, service)
    assert rotated.run(json.dumps(fields_of(laboratory, service, user, Strategy.ALTERNATING_USERS))) is None
    now = rotated.read()
    with laboratory.session(
        replace(user, username=str(now["username"]), password=str(now["password"]), database=None)
    ) as run:
        run(f"SELECT {column_} FROM {schema_}.{table_}")  # noqa: S608 - quoted
        run(f"INSERT INTO {schema_}.{table_} (other) VALUES (1)")  # noqa: S608 - quoted
    # If the server has no room for a character, the name has been another one since CREATE.
    blurred = {name.replace("\U0001f600", "?") for name in names}
    assert MYSQL.pasted(laboratory.log_text()[log:], marker, blurred | set(names)) == []
    with laboratory.session() as run:
        run(f"DROP DATABASE {schema_}")


def rotate_or_refuse(  # noqa: PLR0913, PLR0917 - the fixtures, and what is drawn
    laboratory: Laboratory,
    service: LocalSecretsManager,
    grammar: Grammar | None,
    name: str | tuple[str, str],
    old: str,
    new: str | None,
    strategy: Strategy,
) -> None:
    """Rotate a user of that name, and see that one of the two is true."""
    if strategy not in laboratory.engine.kind.strategies:
        strategy = Strategy.SINGLE_USER
    marker = secrets.token_hex(3)
    username = name if isinstance(name, str) else marker.join(name)
    user, log = new_user(laboratory, username, old), len(laboratory.log_text())
    try:
        rotated, next_name = Rotated(laboratory, service), successor(username, strategy)
        fields = fields_of(laboratory, service, user, strategy)
        pending = {**fields, "username": next_name, "password": new} if new is not None else None
        was_there = can_log_in(laboratory, user)
        error = rotated.run(json.dumps(fields), pending)
        assert not isinstance(error, Unexpected), str(error)
        now = rotated.read()
        after = replace(user, username=next_name, password=str(now["password"] if new is None else new))
        if error:
            assert now == fields
            assert can_log_in(laboratory, user) is was_there
            assert new in (None, old) or not can_log_in(laboratory, after), f"the new password logs in: {error}"
            # What the server took from others it takes from us: no refusal may hide a statement that is broken.
            assert not was_there or isinstance(error, InvalidSecret | Unsupported) or is_blurred(username), str(error)
        else:
            assert was_there
            assert (now["username"], now["password"]) == (next_name, after.password)
            assert can_log_in(laboratory, after)
            assert can_log_in(laboratory, user) is (strategy is not Strategy.SINGLE_USER or new == old)
        if grammar and not isinstance(name, str):
            assert grammar.pasted(laboratory.log_text()[log:], marker, {username}) == []
    finally:
        for one in (username, counterpart(username)):
            drop_user(laboratory, one)


def fields_of(
    laboratory: Laboratory, service: LocalSecretsManager, user: Credential, strategy: Strategy
) -> dict[str, object]:
    """Return the secret of a user."""
    common: dict[str, object] = {"engine": user.engine, "host": user.host, "port": user.port}
    if user.database:
        common["dbname"] = user.database
    admin = {**common, "username": laboratory.admin.username, "password": laboratory.admin.password}
    name = f"admin-{secrets.token_hex(4)}"
    arn = operator(service).create_secret(Name=name, SecretString=json.dumps(admin))["ARN"]
    login = {"username": user.username, "password": user.password}
    needs_admin = {} if strategy is Strategy.SINGLE_USER else {"masterarn": arn}
    return {**common, **login, "rotation": {"strategy": strategy}, **needs_admin}


def new_user(laboratory: Laboratory, name: str, password: str) -> Credential:
    """Make a user, if the server takes one of that name and with that password, and the secret's idea of it."""
    try:
        return laboratory.new_user(name, password)
    except (psycopg2.Error, pymysql.MySQLError, ValueError):
        return replace(laboratory.admin, username=name, password=password)


def is_blurred(username: str) -> bool:
    """Tell whether MySQL or MariaDB does not always know a name again: its tables have three bytes for a character.

    And they compare it without the blanks at its end.
    """
    return username.endswith(" ") or len(max(username).encode()) > len("\u2028".encode())


@functools.cache
def operator(service: LocalSecretsManager) -> "SecretsManagerClient":
    """Return a client that is not the function's: it takes a while to make one."""
    return service.client()


def drop_user(laboratory: Laboratory, name: str) -> None:
    """Leave nothing of a user that may be called like another example's."""
    with suppress(psycopg2.Error, pymysql.MySQLError, ValueError):
        if isinstance(laboratory, PostgreSQLLaboratory):
            with laboratory.session() as run:
                run(SQL("DROP OWNED BY {}").format(Identifier(name)))
                run(SQL("DROP ROLE {}").format(Identifier(name)))
        elif isinstance(laboratory, MySQLLaboratory):
            with laboratory.session() as run:
                run(f"DROP USER {quoted(name)}@'%'")


def can_log_in(laboratory: Laboratory, credential: Credential) -> bool:
    """Tell whether the server takes this password, if it can be sent at all."""
    try:
        return laboratory.logs_in(credential)
    except (psycopg2.Error, pymysql.MySQLError, ValueError):
        return False


def successor(username: str, strategy: Strategy) -> str:
    """Return whose turn it is next."""
    return counterpart(username) if strategy is Strategy.ALTERNATING_USERS else username
