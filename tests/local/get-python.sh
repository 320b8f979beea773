#!/bin/sh
# Installs a Python 3.13 into .local/cpython, for this folder alone, and says so on standard error. Fails if it cannot.
#
# uv does it, from the builds that its authors make for Linux and macOS; it checks their digests. If uv is not on PATH, it comes
# from the package index, pinned like every other tool, with the pip of whatever Python 3 there is. uv takes another source
# from UV_PYTHON_INSTALL_MIRROR or UV_PYTHON_DOWNLOADS_JSON_URL:
# https://docs.astral.sh/uv/reference/environment/
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
tools=$here/.local/get-python

# uv into $tools with the pip of $1, or with that of an environment that $1 makes: Debian's python3 has one of the two, or none.
install_uv() {
    rm -rf "$tools"
    "$1" -m pip --version >/dev/null 2>&1 && set -- "$1" "$1"
    if [ $# -eq 1 ]; then
        "$1" -m venv "$tools/environment" >/dev/null 2>&1 || return 1
        set -- "$1" "$tools/environment/bin/python"
    fi
    "$2" -m pip install --quiet --quiet --disable-pip-version-check --no-input --require-hashes --target "$tools/uv" \
        --requirement "$here/tests/requirements/uv.txt" >"$tools.log" 2>&1
}

find_uv() {
    if command -v uv; then return; fi
    for name in python3 python3.14 python3.12 python3.11 python3.10 python; do
        echo "$PATH" | tr ':' '\n' | while read -r folder; do [ -x "$folder/$name" ] && echo "$folder/$name"; done
    done | {
        while read -r python; do
            install_uv "$python" && [ -x "$tools/uv/bin/uv" ] && echo "$tools/uv/bin/uv" && exit
        done
        exit 1
    }
}

mkdir -p "$here/.local" || exit 1
trap 'rm -rf "$tools" "$tools.log"' EXIT
echo "No Python 3.13 was found here. Installing one into .local/cpython, once, for this folder alone …" >&2
if ! uv=$(find_uv); then
    echo "uv, which installs Python, could not be had: neither uv is on PATH, nor a Python 3 with a pip or venv that works." >&2
    [ -s "$tools.log" ] && tail -n 3 "$tools.log" >&2
    exit 1
fi
# Without --no-bin, uv would put a python3.13 into ~/.local/bin; without --no-config, it would obey a file of somebody else's.
UV_PYTHON_INSTALL_DIR=$here/.local/cpython "$uv" --no-config --no-cache python install --no-bin 3.13 >&2 || {
    echo "uv could not install Python 3.13: the reason is above. Behind a proxy, set HTTPS_PROXY; with a mirror of your own," >&2
    echo "set UV_PYTHON_INSTALL_MIRROR." >&2
    exit 1
}
