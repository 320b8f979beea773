"""Does a password that must be encrypted by RSA arrive, though the library for it is imported late?"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from tests.laboratories.mysql import MySQLLaboratory

LAYER = Path(__file__).parents[2] / "layers/common"
SCRIPT = """
import json, sys
from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.mysql import MySQL

loaded = []
for user in json.load(sys.stdin):
    with MySQL().connect(Credential(**user), Deadline(lambda: 60.0)):
        loaded.append("cryptography" in sys.modules)
print(json.dumps(loaded))
"""
"""A process of its own, as a function is: another test has imported the library already."""

THREADS = """
import threading
from rotation.engines.mysql import rsa
import pymysql._auth

found, ready = [], threading.Barrier(16)

def provide():
    ready.wait()
    rsa.provide()
    found.append(pymysql._auth._have_cryptography)

threads = [threading.Thread(target=provide) for _ in range(16)]
for step in (threading.Thread.start, threading.Thread.join):
    for thread in threads:
        step(thread)
print(found.count(True))
"""


def test_who_comes_while_the_library_is_imported_waits_for_it() -> None:
    """Python's `reload` returns at once if another thread is at it."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", THREADS],
        env={**os.environ, "PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("16\n", "")


def test_the_library_is_imported_for_the_first_login_that_needs_it(mysql: MySQLLaboratory) -> None:
    """The server has neither password in its cache, so it asks for the second one whole, encrypted by RSA."""
    users = [mysql.new_user(), replace(mysql.new_user(), tls=False)]
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([asdict(user) for user in users]),
        env={**os.environ, "PYTHONPATH": str(LAYER), "DB_CA_BUNDLE": str(mysql.ca_bundle)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    assert json.loads(done.stdout) == [False, True]
