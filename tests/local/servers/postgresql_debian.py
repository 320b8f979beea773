"""Where do the tests get a PostgreSQL that speaks another language, and one that must judge each password itself?

Debian's build has translations, and the module credcheck. It runs on data that our build of the same major version has
made: the two differ in nothing that is on the disk.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.local.servers import debian_packages
from tests.local.servers.postgresql import Build, readable_by_all

MAJOR = 17
LANGUAGE = "ru_RU.utf8"
PACKAGES = debian_packages.Packages(
    "postgresql-17-debian",
    "trixie",
    (
        "libicu76",
        "libxml2",
        "libpam0g",
        "liblz4-1",
        "libzstd1",
        "libsystemd0",
        "libldap2",
        "libgssapi-krb5-2",
        "libnuma1",
    ),
    ("postgresql-17", "postgresql-17-credcheck", "libc-bin"),
    kept=("locale",),
)


def build() -> Build:
    """Return Debian's build, fetched if it is not here; it knows the language. Raises PackagesUnavailableError."""
    unpacked = debian_packages.unpack(PACKAGES)

    def command(directory: Path) -> Sequence[str | Path]:
        # The library of C looks for translations in no language that it does not have. What is in it does not matter.
        languages = directory / "languages"
        shutil.copytree(unpacked.root / "usr/lib/locale/C.utf8", languages / LANGUAGE)
        root = readable_by_all(unpacked.root, directory)
        return [
            "/usr/bin/env",
            f"LOCPATH={languages}",
            *debian_packages.Unpacked(root).command("usr/lib/postgresql/17/bin/postgres"),
            "-c",
            "timezone=GMT",
            "-c",
            "log_timezone=GMT",
        ]

    return Build(command, {})
