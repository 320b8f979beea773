"""How are accounts, names and texts written in statements of MySQL and MariaDB?"""

from pymysql.converters import escape_string

from rotation.values import dataclass


@dataclass(frozen=True, order=True)
class Account:
    """A user, as from certain hosts."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"

    @property
    def quoted(self) -> str:
        """The account as statements take it."""
        return f"{literal(self.user)}@{literal(self.host)}"

    @property
    def as_role(self) -> str:
        """The account as SHOW GRANTS of MySQL prints a role."""
        return f"{identifier(self.user)}@{identifier(self.host)}"

    @property
    def condition(self) -> str:
        """The condition that the columns `user` and `host` of a server's table hold this account."""
        return f"user = {literal(self.user)} AND host = {literal(self.host)}"


def identifier(name: str) -> str:
    """Return a name, quoted for SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return a text, quoted for SQL. In the session's sql_mode a backslash escapes."""
    return f"'{escape_string(text)}'"
