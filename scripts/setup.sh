#!/usr/bin/env bash
# Make .venv with everything that is needed to run, test and build the project, from uv.lock. On a machine with an
# NVIDIA GPU it takes the CUDA builds of torch and faiss, else the CPU builds; CURATE_DEVICE=cpu|gpu overrides that.
# Does nothing when .venv was made from the same files.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${CURATE_DEVICE:-cpu}
if [ -z "${CURATE_DEVICE:-}" ] && [ -e /dev/nvidia0 ]; then device=gpu; fi
stamp="$device $(cat pyproject.toml uv.lock scripts/*.sh scripts/*.py scripts/ffcv-shim/*.pc scripts/ffcv-shim/*/* | sha256sum)"
if [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi

. scripts/apt.sh
started=$SECONDS

# What ffcv and fasttext are compiled with, and a Python.
packages=()
command -v g++ >/dev/null || packages+=(g++)
command -v pkg-config >/dev/null || packages+=(pkg-config)
for package in libturbojpeg0-dev libopencv-core-dev libopencv-imgproc-dev; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || packages+=("$package")
done

usable='import sys, sysconfig, os, ensurepip, venv
assert (3, 11) <= sys.version_info[:2] < (3, 13)
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))'
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3 "$HOME"/.pyenv/versions/3.1[12].*/bin/python; do
        if "$candidate" -c "$usable" >/dev/null 2>&1; then command -v "$candidate"; return; fi
    done
    return 1
}
python=$(find_python) || packages+=(python3 python3-dev python3-venv)
if [ ${#packages[@]} -gt 0 ]; then apt_install "${packages[@]}"; fi
if [ -z "$python" ] && ! python=$(find_python); then
    echo "setup: needs Python 3.11 or 3.12 with its headers and venv (Debian: python3-dev python3-venv)" >&2
    exit 1
fi

echo "setup: making .venv for $device with $("$python" --version); the first time takes a few minutes" >&2
.venv/bin/python -c "$usable; import pip" 2>/dev/null || "$python" -m venv --clear .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q --disable-pip-version-check 'uv>=0.9'

# Compiled once, now, rather than by each first import: torch starts in 3 s instead of 10.
export UV_COMPILE_BYTECODE=1
export UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv VIRTUAL_ENV=$PWD/.venv
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=1; fi # a site's own authority counts
export PKG_CONFIG_PATH="$PWD/scripts/ffcv-shim${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
uv() { .venv/bin/uv --quiet "$@"; }

lock_as_requirements() { uv export --frozen --extra all --extra cpu --no-emit-project "$@"; }

# From a folder that pip is told to look into (PIP_FIND_LINKS or pip.conf), else from PyTorch's own index, else the
# registry's CUDA build, which is 2.8 GB and works on a CPU as well.
install_cpu_torch() {
    local version python links index=https://download.pytorch.org/whl/cpu
    version=$(awk '/^name = "torch"$/ { getline; gsub(/"/, "", $3); print $3; exit }' uv.lock)
    if .venv/bin/python -c "from importlib.metadata import version as v
assert v('torch').split('+')[0] == '$version'" 2>/dev/null; then return; fi
    python=$(.venv/bin/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    links=$(.venv/bin/python -m pip config list | sed -n "s/.*find-links='\(.*\)'/\1/p" | tail -1)
    if [ -n "$links" ] && compgen -G "$links/torch-$version+cpu-$python-*" >/dev/null; then
        uv pip install --no-deps --find-links "$links" "torch==$version"
    elif .venv/bin/python -c "import urllib.request as r; r.urlopen('$index/torch/', timeout=10)" 2>/dev/null; then
        uv pip install --no-deps --default-index "$index" "torch==$version"
    else
        lock_as_requirements | uv pip install --no-deps -r -
    fi
}

if [ "$device" = gpu ]; then
    uv sync --frozen --inexact --extra all --extra gpu --no-install-project
else
    lock_as_requirements --prune torch | uv pip install --no-deps -r -
    install_cpu_torch
fi

site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp scripts/torchvision_hook.py "$site/_torchvision_hook.py"
echo 'import _torchvision_hook' >"$site/_torchvision_hook.pth"

uv pip install --no-deps -e .
echo "$stamp" >.venv/.stamp
echo "setup: done in $((SECONDS - started)) s" >&2
