"""Does a password that a verify function refuses come with what to set?"""

import oracledb
import pytest

from rotation.engines.driver import ANOTHER_PASSWORD, POLICY
from rotation.engines.oracle.problems import ServerError, statement_failure
from rotation.errors import DatabaseError, PasswordRefused


def refused(text: str, code: str = "ORA-28003") -> DatabaseError:
    """Return the error for a refusal with this text of the verify function."""
    whole = f"{code}: password verification for the specified password failed\n{text}"
    return statement_failure(ServerError.read(oracledb.DatabaseError(whole)), "setting a password", "")


@pytest.mark.parametrize(
    ("text", "variable", "number"),
    [
        ("ORA-20001: Password length less than 40", "PASSWORD_LENGTH", 40),
        ("ORA-20000: password length less than 40 bytes", "PASSWORD_LENGTH", 40),
        ("ORA-20023: Password must contain at least 3 uppercase character(s)", "PASSWORD_MINIMUM_UPPERCASE", 3),
        ("ORA-20000: password must contain 4 or more uppercase characters", "PASSWORD_MINIMUM_UPPERCASE", 4),
        ("ORA-20024: Password must contain at least 3 lowercase character(s)", "PASSWORD_MINIMUM_LOWERCASE", 3),
        ("ORA-28216: password must contain 3 or more digits", "PASSWORD_MINIMUM_NUMBERS", 3),
        ("ORA-20026: Password must contain at least 5 special character(s)", "PASSWORD_MINIMUM_PUNCTUATION", 5),
    ],
)
@pytest.mark.parametrize("code", ["ORA-28003", "ORA-28219"])
def test_a_rule_that_the_function_breaks_is_named_with_what_to_set(
    code: str, text: str, variable: str, number: int
) -> None:
    error = refused(text, code)
    parameter = variable.title().replace("_", "")
    assert type(error) is PasswordRefused
    assert text in error.cause
    assert f"the server asks for at least {number} " in error.cause
    assert error.remedy == f"Set {variable} (parameter {parameter}) to {number} or more"


def test_a_rule_that_the_function_keeps_is_met_by_another_password() -> None:
    """The pending password was made before the function's variables were changed, or somebody else wrote it."""
    assert refused("ORA-20025: Password must contain at least 2 digit(s)").remedy == ANOTHER_PASSWORD


@pytest.mark.parametrize(
    "text",
    [
        "ORA-20002: Password contains the username",
        "ORA-20011: Password should differ from the old password by at least 3 characters",
        "ORA-20022: Password must contain at least 4 letter(s)",
        "ORA-20000: das Passwort muss 3 oder mehr Ziffern enthalten",
    ],
)
def test_any_other_text_leaves_the_general_remedy(text: str) -> None:
    assert refused(text).remedy == POLICY


@pytest.mark.parametrize(
    "text",
    [
        "ORA-20003: Password contains the server name",
        "ORA-20004: Password contains the database name",
        "ORA-20006: Password too simple",
    ],
)
def test_a_name_that_a_password_must_not_hold_can_be_forbidden(text: str) -> None:
    error = refused(text)
    assert error.remedy.startswith(ANOTHER_PASSWORD)
    assert "PASSWORD_FORBIDDEN_PARTS" in error.remedy
