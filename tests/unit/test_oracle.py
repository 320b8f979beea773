"""Are Oracle's names, rights and errors read right?"""

import ssl
from dataclasses import replace
from pathlib import Path

import oracledb
import pytest

from rotation.credential import Credential, SecretValue
from rotation.engines.oracle.catalog import GRANTABLE_TYPES
from rotation.engines.oracle.kind import KIND, counterpart, normal_name
from rotation.engines.oracle.problems import (
    LOGIN_PROBLEMS,
    STATEMENT_PROBLEMS,
    ServerError,
    login_failure,
    statement_failure,
)
from rotation.engines.oracle.rights import Right, RightKind, collected, remedy, statements
from rotation.engines.oracle.unshared import (
    ADMINISTRATIVE,
    NAME_BOUND,
    OBJECT_KINDS,
    OTHER_OBJECTS,
    REDACTION,
    TRIGGERS,
    USED_THROUGH_OTHERS,
)
from rotation.errors import (
    DatabaseError,
    InvalidConfiguration,
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsafe,
    Untrusted,
)
from rotation.passwords import PasswordPolicy
from tests.unit.managed import HOST, ManagedAdmin

FIELDS: dict[str, object] = {
    "engine": "oracle",
    "host": "h",
    "username": "app",
    "password": "p",
    "dbname": "ORCL",
}


def server_error(text: str, cause: BaseException | None = None) -> ServerError:
    error = oracledb.DatabaseError(text)
    error.__cause__ = cause
    return ServerError.read(error)


# Names and secrets


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("app", "app_clone"),
        ("APP", "APP_CLONE"),
        ("App", "App_clone"),
        ('"app"', '"app_clone"'),
        ('"APP"', '"APP_CLONE"'),
        ('"a b"', '"a b_clone"'),
    ],
)
def test_the_other_of_a_pair_is_written_like_the_one(one: str, other: str) -> None:
    assert counterpart(one) == other
    assert counterpart(other) == one


def test_a_clone_that_awss_template_made_goes_back_to_its_user() -> None:
    assert counterpart("APP_CLONE") == "APP"
    assert counterpart("app_CLONE") == "app"


def test_what_the_case_does_not_tell_apart_is_one_user() -> None:
    assert KIND.normal_name("app_clone") == KIND.normal_name("APP_CLONE") == KIND.normal_name('"APP_CLONE"')
    assert KIND.normal_name('"app"') != KIND.normal_name("app")
    assert KIND.username_length('"app"') == 3


@pytest.mark.parametrize("name", ['a"b', '"', '""', "a\0b", ""])
def test_what_can_be_no_name_is_told(name: str) -> None:
    with pytest.raises(InvalidSecret):
        normal_name(name)


@pytest.mark.parametrize("engine", ["oracle", "oracle-ee", "oracle-se2-cdb", "custom-oracle-ee"])
def test_secrets_name_the_engine_as_awss_templates_and_rds_do(engine: str) -> None:
    value = SecretValue.parse(str({**FIELDS, "engine": engine}).replace("'", '"'), KIND, "reading")
    assert (value.credential.port, value.credential.database) == (1521, "ORCL")


@pytest.mark.parametrize("dbname", [None, ""])
def test_a_secret_must_say_its_database(dbname: str | None) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != "dbname"}
    text = str(fields if dbname is None else {**fields, "dbname": dbname}).replace("'", '"')
    with pytest.raises(InvalidSecret, match="dbname"):
        SecretValue.parse(text, KIND, "reading")


def test_passwords_are_of_thirty_characters_and_hold_no_double_quote() -> None:
    policy = PasswordPolicy.from_environment({"EXCLUDE_CHARACTERS": ""}, KIND)
    made = [policy.generate("app") for _ in range(50)]
    assert {len(password) for password in made} == {30}
    assert '"' not in "".join(made)
    with pytest.raises(InvalidConfiguration, match="30"):
        PasswordPolicy.from_environment({"PASSWORD_LENGTH": "31"}, KIND)


# The admin


class Account(ManagedAdmin):
    """A master of Oracle that RDS manages."""

    kind = KIND
    secret = FIELDS


def test_a_master_that_rds_manages_logs_in_at_the_port_that_the_secret_names() -> None:
    admin = Account().find(port=2484)
    assert (admin.host, admin.port, admin.tls, admin.database) == (HOST, 2484, True, "ORCL")
    with pytest.raises(Unsafe, match="over TLS only"):
        Account().find(ssl=False)


def test_an_admin_secret_can_name_the_other_port_of_the_same_host_and_no_other_host() -> None:
    admin = Account(engine="oracle", host=HOST, port=2484).find(ssl=False)
    assert (admin.port, admin.tls) == (2484, True)
    with pytest.raises(Unsafe):
        Account(engine="oracle", host="elsewhere", port=2484).find(port=2484)


def test_if_a_host_is_not_of_rds_another_port_can_be_another_server() -> None:
    assert Account(engine="oracle", host="one", port=2484).find(host="one", port=2484).port == 2484
    with pytest.raises(Unsafe):
        Account(engine="oracle", host="one", port=2484).find(host="one", port=1521, ssl=False)


# Rights

TABLE = Right(RightKind.OBJECT, "UPDATE", "S", "T")
COLUMN = Right(RightKind.OBJECT, "UPDATE", "S", "T", column="C")
ROLE = Right(RightKind.ROLE, "R")
SYSTEM = Right(RightKind.SYSTEM, "CREATE TABLE")


def passed_on(right: Right) -> Right:
    return replace(right, option=True)


@pytest.mark.parametrize(
    ("have", "want", "expected"),
    [
        ({TABLE}, {TABLE}, []),
        (set(), {ROLE}, ['GRANT "R" TO "U"']),
        (set(), {passed_on(ROLE)}, ['GRANT "R" TO "U" WITH ADMIN OPTION']),
        ({ROLE}, {passed_on(ROLE)}, ['GRANT "R" TO "U" WITH ADMIN OPTION']),
        ({passed_on(ROLE)}, {ROLE}, ['REVOKE "R" FROM "U"', 'GRANT "R" TO "U"']),
        ({SYSTEM}, set(), ['REVOKE CREATE TABLE FROM "U"']),
        ({TABLE}, {COLUMN}, ['REVOKE UPDATE ON "S"."T" FROM "U"', 'GRANT UPDATE ("C") ON "S"."T" TO "U"']),
        ({TABLE, COLUMN}, set(), ['REVOKE UPDATE ON "S"."T" FROM "U"']),
        ({TABLE, COLUMN}, {COLUMN}, ['REVOKE UPDATE ON "S"."T" FROM "U"', 'GRANT UPDATE ("C") ON "S"."T" TO "U"']),
        (
            set(),
            {TABLE, Right(RightKind.OBJECT, "SELECT", "S", "T"), passed_on(COLUMN)},
            [
                'GRANT SELECT ON "S"."T" TO "U"',
                'GRANT UPDATE ON "S"."T" TO "U"',
                'GRANT UPDATE ("C") ON "S"."T" TO "U" WITH GRANT OPTION',
            ],
        ),
        (
            set(),
            {COLUMN, replace(COLUMN, column="D")},
            ['GRANT UPDATE ("C") ON "S"."T" TO "U"', 'GRANT UPDATE ("D") ON "S"."T" TO "U"'],
        ),
        (
            set(),
            {
                Right(RightKind.OBJECT, "READ", "SYS", "D", "DIRECTORY"),
                Right(RightKind.SCHEMA, "SELECT ANY TABLE", item="S"),
            },
            ['GRANT READ ON DIRECTORY "D" TO "U"', 'GRANT SELECT ANY TABLE ON SCHEMA "S" TO "U"'],
        ),
        (
            set(),
            {Right(RightKind.OBJECT, "USE", "S", "P", "SQL TRANSLATION PROFILE")},
            ['GRANT USE ON SQL TRANSLATION PROFILE "S"."P" TO "U"'],
        ),
    ],
)
def test_statements_take_before_they_give(have: set[Right], want: set[Right], expected: list[str]) -> None:
    found = [statement for statement, _ in statements(frozenset(have), frozenset(want), "U")]
    assert sorted(found) == sorted(expected)
    assert [text.split()[0] for text in found] == sorted((text.split()[0] for text in found), reverse=True)


def test_several_grantors_of_one_right_are_one_right() -> None:
    assert collected([TABLE, passed_on(TABLE), TABLE]) == {passed_on(TABLE)}


def test_the_remedy_names_what_the_admin_lacks() -> None:
    [(statement, right)] = statements(
        frozenset(), frozenset({Right(RightKind.OBJECT, "SELECT", "SYS", "V_$SESSION")}), "U"
    )
    by_rds = "BEGIN rdsadmin.rdsadmin_util.grant_sys_object('V_$SESSION', 'O', 'SELECT'); END;"
    assert by_rds in remedy(statement, right, "A", "U", "O")
    [(statement, right)] = statements(frozenset({SYSTEM}), frozenset(), "U")
    assert "GRANT ANY PRIVILEGE" in remedy(statement, right, "A", "U", "O")


# Errors

CREDENTIAL = Credential(engine="oracle", host="h", port=1521, database="d", username="app", password="secret", tls=True)


@pytest.mark.parametrize("code", LOGIN_PROBLEMS)
def test_every_known_refusal_of_a_login_is_distinguished(code: str) -> None:
    error = login_failure(
        server_error(f"{code}: text\nHelp: https://docs.oracle.com/error-help/db/x/"), CREDENTIAL, "doing"
    )
    assert type(error) is LOGIN_PROBLEMS[code][0]
    assert error.cause == f"{code}: text"


@pytest.mark.parametrize("code", STATEMENT_PROBLEMS)
def test_every_known_refusal_of_a_statement_is_distinguished(code: str) -> None:
    error = statement_failure(server_error(f"{code}: text"), "doing", "the remedy")
    assert type(error) is STATEMENT_PROBLEMS[code][0]
    assert error.remedy


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ORA-28003", "PASSWORD_LENGTH"),
        ("ORA-28007", "Rotate again"),
        ("ORA-28219", "PASSWORD_LENGTH"),
        ("ORA-00988", "PASSWORD_LENGTH"),
    ],
)
def test_what_the_policy_refuses_ends_the_version(code: str, remedy: str) -> None:
    error = statement_failure(server_error(f"{code}: text"), "doing", "the remedy")
    assert isinstance(error, PasswordRefused)
    assert remedy in error.remedy


def test_what_is_too_long_can_be_the_name_and_ends_no_version() -> None:
    error = statement_failure(server_error("ORA-00972: identifier is too long"), "doing", "the remedy")
    assert type(error) is StatementFailed
    assert not error.ends_version
    assert "user's name" in error.remedy
    assert "PASSWORD_LENGTH" in error.remedy


@pytest.mark.parametrize(
    ("reason", "setting", "value"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "SQLNET.CIPHER_SUITE", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "SQLNET.SSL_VERSION", "1.2"),
        ("UNSUPPORTED_PROTOCOL", "SQLNET.SSL_VERSION", "1.2"),
        ("WRONG_VERSION_NUMBER", "2484", '"ssl": false'),
    ],
)
def test_what_tls_lacks_is_told_with_the_setting_that_the_page_of_oracle_names(
    reason: str, setting: str, value: str
) -> None:
    cause = ssl.SSLError(1, f"[SSL: {reason}]")
    cause.reason = reason
    error = login_failure(server_error("DPY-6005: cannot connect", cause), CREDENTIAL, "doing")
    page = (Path(__file__).parents[2] / "docs/engines/oracle.md").read_text()
    assert isinstance(error, Untrusted)
    assert reason in error.cause
    for text in (setting, value):
        assert text in error.remedy
        assert text in page


@pytest.mark.parametrize(
    ("text", "cause", "problem"),
    [
        (
            "DPY-6005: cannot connect to database (CONNECTION_ID=x).\n[Errno 111]",
            ConnectionRefusedError(111, "no"),
            Unreachable,
        ),
        ("DPY-6005: cannot connect", ConnectionResetError(104, "reset"), Unreachable),
        ("DPY-6005: cannot connect", TimeoutError("timed out"), Unreachable),
        ("DPY-6005: cannot connect", ssl.SSLCertVerificationError(1, "certificate verify failed"), Untrusted),
        ("DPY-6005: cannot connect", ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), Untrusted),
        ("DPY-6000: Listener refused connection. (Similar to ORA-12516)", None, LoginBlocked),
        ("DPY-6000: Listener refused connection. (Similar to ORA-12528)", None, LoginBlocked),
        ("DPY-6000: Listener refused connection. (Similar to ORA-99999)", None, LoginBlocked),
        ("ORA-99999: something new", None, LoginBlocked),
        ("DPY-4011: the database or network closed the connection\nORA-03135: lost", None, Unreachable),
        ("DPY-4011: the database or network closed the connection\nORA-00028: killed", None, LoginBlocked),
        ("DPY-6005: cannot connect to database (CONNECTION_ID=x).", None, Unreachable),
        ("DPY-4011: the database or network closed the connection", None, Unreachable),
        ("ORA-01017: invalid username/password; logon denied", None, LoginRefused),
        ("", None, Unreachable),
    ],
)
def test_only_the_servers_word_is_a_wrong_password(
    text: str, cause: BaseException | None, problem: type[DatabaseError]
) -> None:
    assert type(login_failure(server_error(text, cause), CREDENTIAL, "doing")) is problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ORA-01031: insufficient privileges", NotPermitted),
        ("ORA-16000: database open for read-only access", NotPermitted),
        ("ORA-01918: user 'X' does not exist", StatementFailed),
        ("DPY-4024: call timeout of 5 ms exceeded", StatementFailed),
        ("DPY-4011: the database or network closed the connection\nORA-00028: killed", StatementFailed),
        ("DPY-4011: the database or network closed the connection\nORA-01089: shutdown", Unreachable),
        ("DPY-4011: the database or network closed the connection\nORA-03113: end-of-file", Unreachable),
        ("ORA-12345: something new", StatementFailed),
    ],
)
def test_what_a_statement_met_with_is_distinguished(text: str, problem: type[DatabaseError]) -> None:
    assert type(statement_failure(server_error(text), "doing", "remedy")) is problem


def test_a_syntax_error_does_not_repeat_the_statement() -> None:
    text = "ORA-03049: SQL keyword 'X' is not syntactically valid following 'IDENTIFIED BY \"secret\"'"
    assert "secret" not in str(statement_failure(server_error(text), "doing", ""))


def test_the_words_for_what_a_pair_cannot_share_are_all_known() -> None:
    found = {
        ADMINISTRATIVE,
        OTHER_OBJECTS,
        REDACTION,
        TRIGGERS,
        *OBJECT_KINDS.values(),
        *(bound.kind for bound in NAME_BOUND),
    }
    assert KIND.unshared_kinds == found
    assert not (OBJECT_KINDS.keys() | USED_THROUGH_OTHERS) & GRANTABLE_TYPES
