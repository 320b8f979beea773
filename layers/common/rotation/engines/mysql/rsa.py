"""When is the library imported that encrypts by RSA? As soon as it is needed, and not before.

PyMySQL imports cryptography for passwords that go to a server without TLS (`"ssl": false`): the server wants them
encrypted by RSA. The import takes 13 ms of processor time, a twentieth of a cold start, and 8 MB. So PyMySQL does not
find it at first, and imports the module that needs it again for the first such password.

The package imports this before anything imports PyMySQL.
"""

import functools
import importlib
import sys
import threading

LIBRARY = "cryptography"

if not {LIBRARY, "pymysql"} & sys.modules.keys():
    sys.modules[LIBRARY] = None  # type: ignore[assignment]  # Python's sign for "there is none"
    try:
        importlib.import_module("pymysql")
    finally:
        del sys.modules[LIBRARY]


_ONE_AT_A_TIME = threading.Lock()
"""`reload` returns at once if another thread is at it, and `functools.cache` lets several in."""


def provide() -> None:
    """Let PyMySQL find the library, if the function has it: that of MariaDB needs none."""
    with _ONE_AT_A_TIME:
        _reload()


@functools.cache
def _reload() -> None:
    importlib.reload(importlib.import_module("pymysql._auth"))
