#!/bin/sh
# Prints the path of a Python 3.13 that works. If there is none, it gets one into .local, or says on standard error how to.
#
# Being on PATH proves nothing: a version manager's shim may stand there for a Python that was never chosen or installed,
# and Debian's python3 comes without venv. So every candidate is run; $PYTHON is the first.

here=$(cd "$(dirname "$0")" && pwd)
installed=$here/../../.local/cpython # by get-python.sh

# What each candidate must be able to do: be CPython 3.13 with its lock (the wheels are made for it) and make environments.
probe='
import sys, sysconfig, ensurepip, ssl, venv
if sys.version_info[:2] != (3, 13) or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
print(sys.executable)
'

candidates() {
    if [ -n "${PYTHON:-}" ]; then command -v "$PYTHON" || echo "PYTHON=$PYTHON is no command; looking further." >&2; fi
    for name in python3.13 python3; do
        echo "$PATH" | tr ':' '\n' | while read -r folder; do echo "$folder/$name"; done
    done
    # Where version managers keep what they installed, whether or not it is chosen just now.
    data=${XDG_DATA_HOME:-${HOME:-}/.local/share}
    for folder in \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.13* \
        "${ASDF_DATA_DIR:-${HOME:-}/.asdf}"/installs/python/3.13* \
        "${MISE_DATA_DIR:-$data/mise}"/installs/python/3.13* \
        "${UV_PYTHON_INSTALL_DIR:-$data/uv/python}"/cpython-3.13* \
        "$installed"/cpython-3.13* \
        /usr/local /opt/homebrew /opt/python/3.13*
    do
        echo "$folder/bin/python3.13"
    done
}

find_python() {
    candidates | {
        while read -r candidate; do
            [ -x "$candidate" ] && "$candidate" -c "$probe" 2>/dev/null && exit
        done
        exit 1
    }
}

find_python && exit
"$here/get-python.sh" && find_python && exit
cat >&2 <<'TEXT'
No working Python 3.13 was found: not in $PYTHON, not on PATH, not with pyenv, asdf, mise or uv. One of these gets it:

    sudo apt install python3.13 python3.13-venv     Debian 13 and later, Ubuntu 25.04 and later
    sudo dnf install python3.13                     Fedora 41 and later
    uv python install 3.13                          any Linux or macOS, as an ordinary user
    pyenv install 3.13                              the same, compiled on the spot
    brew install python@3.13                        macOS

Or name one that lies elsewhere: make PYTHON=/path/to/python3.13 …
TEXT
exit 1
