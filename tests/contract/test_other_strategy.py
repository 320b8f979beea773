"""Which passwords log in after the first rotation with another strategy?"""

import pytest

from rotation.credential import SecretValue
from rotation.kind import Strategy
from tests.contract.test_few_logins import ALTERNATING, DUAL, SINGLE, Rotated
from tests.laboratories.mysql import MySQLLaboratory


def switch(secret: Rotated, strategy: Strategy) -> None:
    """Put another strategy into the secret, as an operator."""
    secret.secret.put("by hand", {**secret.secret.read().fields, "rotation": {"strategy": strategy}})


def answering(secret: Rotated) -> list[str]:
    """Return who logs in, once for each password that does."""
    kind = secret.engine.kind
    texts = filter(None, secret.secret.versions.values())
    found = {SecretValue.parse(text, kind, "reading").credential: None for text in texts}
    passwords = {(one.username, one.password): one for one in found}
    return sorted(name for (name, _), one in passwords.items() if secret.laboratory.logs_in(one))


class Family:
    """What the two promise together."""

    @pytest.mark.parametrize("then", [SINGLE, ALTERNATING])
    def test_what_two_passwords_have_left_ends_when_it_is_the_users_turn(
        self, laboratory: MySQLLaboratory, then: Strategy
    ) -> None:
        secret = Rotated(laboratory, DUAL, through_admin=True)
        secret.rotate()
        switch(secret, then)
        secret.rotate()
        user, clone = secret.user.username, secret.engine.kind.counterpart(secret.user.username)
        assert answering(secret) == ([user] if then is SINGLE else [user, user, clone])
        secret.rotate()
        assert answering(secret) == ([user] if then is SINGLE else [user, clone])
        assert secret.refused() == 0


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """What MySQL does."""


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """What MariaDB does."""
