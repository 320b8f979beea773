"""What is an account of MariaDB, and in which words does one change it? See `rotation.engines.mysql.differences`."""

from collections.abc import Sequence

from rotation.engines.mysql.differences import AccountState
from rotation.values import dataclass


@dataclass(frozen=True)
class MariaDBAccountState(AccountState):
    """All of an account that a rotation copies to the other user's account."""

    def with_default_roles(self, roles: Sequence[str]) -> str:
        """Return the statement that gives the account this default role; it can have one."""
        return f"SET DEFAULT ROLE {', '.join(roles) or 'NONE'} FOR {self.account.quoted}"

    def with_plugin(self, plugin: str) -> str:
        """Return what gives the other user's account this plugin: a statement would end the other methods."""
        return f"give {self.account} the plugin {plugin}, with the password that it has"
