#!/usr/bin/env bash
# Installs what a fresh machine lacks: the Debian packages below and, unless LIBTORCH or LIBTORCH_USE_PYTORCH
# says otherwise, libtorch in the user's cache. Safe to run any number of times; with nothing missing it
# changes nothing and ends at once. Every failure is one line on stderr and a non-zero exit, and the next
# run starts over from what is really there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(libopenblas-dev libvips-dev libgloo-dev fonts-dejavu-core pkg-config)
log=$(mktemp)
unpacked=
trap 'rm -f "$log"; [ -z "$unpacked" ] || rm -rf "$unpacked"' EXIT

fail() { echo "setup: $*" >&2; exit 1; }
# Runs a command silently; its last lines of output explain a failure.
quietly() {
    local what=$1; shift
    "$@" >"$log" 2>&1 </dev/null || fail "$what failed: $(grep -v '^[[:space:]]*$' "$log" | tail -n 2 | tr '\n' ' ')"
}

# --- tools ------------------------------------------------------------------------------------------
for tool in swift python3; do
    command -v "$tool" >/dev/null || fail "$tool is not on the PATH; install it and run make again"
done

# --- Debian packages --------------------------------------------------------------------------------
if command -v dpkg-query >/dev/null; then
    missing=()
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        as_root=()
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
                fail "needs the packages ${missing[*]}; as root: apt-get install ${missing[*]}"
            as_root=(sudo -n)
        fi
        echo "setup: installing ${missing[*]}" >&2
        quietly "apt-get update" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update
        quietly "apt-get install ${missing[*]}" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -y --no-install-recommends install "${missing[@]}"
    fi
else
    for module in vips openblas; do
        pkg-config --exists "$module" 2>/dev/null ||
            fail "no dpkg here, and pkg-config does not find $module; install it (Debian names: ${packages[*]})"
    done
fi

# --- libtorch ---------------------------------------------------------------------------------------
set_to() { [ -n "${!1:-}" ] && [ "${!1}" != 0 ]; }
if set_to LIBTORCH || set_to LIBTORCH_USE_PYTORCH || { set_to LIBTORCH_INCLUDE && set_to LIBTORCH_LIB; }; then
    exit 0
fi
version=$(sed -n 's/^let libTorchVersion = "\(.*\)"$/\1/p' Package.swift)
[ -n "$version" ] || fail "Package.swift states no libTorchVersion"
cache=${XDG_CACHE_HOME:-${HOME:?setup: HOME is not set}/.cache}/vlsa
home=$cache/libtorch-$version
[ -e "$home" ] && exit 0

mkdir -p "$cache" 2>/dev/null || fail "cannot create $cache"
exec 9>"$cache/.lock"
flock 9
[ -e "$home" ] && exit 0  # another make was faster
find "$cache" -maxdepth 1 -name 'unpacking.*' -exec rm -rf {} +  # left by a run that was stopped
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; install python3-pip and run make again"

free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge 3000 ] || fail "libtorch needs 3000 MiB in $cache, and only $free MiB are free"
unpacked=$(mktemp -d "$cache/unpacking.XXXXXX")
wheels=$unpacked/wheels
echo "setup: fetching libtorch $version into $home" >&2
fetch() {
    quietly "pip download $*" python3 -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
        --dest "$wheels" "$@"
}
unpack() {
    for wheel in "$wheels"/*.whl; do
        quietly "unpacking $(basename "$wheel")" python3 -m zipfile -e "$wheel" "$unpacked/root"
        rm "$wheel"
    done
}
# The wheel is only a container here, so its Python tag is fixed: any python3 can unpack it.
fetch --no-deps --implementation cp --python-version 3.11 --platform "manylinux_2_28_$(uname -m)" \
    "torch==$version"
unpack
if [ -e "$unpacked/root/torch/lib/libtorch_cuda.so" ]; then
    # A CUDA build: linking needs its CUDA runtime and CUPTI, which its metadata names exactly.
    mapfile -t runtime < <(python3 - "$unpacked"/root/torch-*.dist-info/METADATA <<'PYTHON'
import re, sys
for line in open(sys.argv[1], encoding="utf-8"):
    if not line.startswith("Requires-Dist:"):
        continue
    requirement = line.split(":", 1)[1].split(";")[0].replace(" ", "").replace("(", "").replace(")", "").strip()
    if re.match(r"nvidia-cuda-(runtime|cupti)", requirement):
        print(requirement)
    elif requirement.startswith("cuda-toolkit["):
        print("cuda-toolkit[cudart,cupti]" + requirement.split("]", 1)[1])
PYTHON
    )
    [ ${#runtime[@]} -gt 0 ] || fail "the CUDA build of torch $version names no CUDA runtime in its metadata"
    fetch "${runtime[@]}"
    unpack
fi
[ -e "$unpacked/root/torch/lib/libtorch_cpu.so" ] || fail "the wheel of torch $version holds no libtorch_cpu.so"
mv "$unpacked/root" "$home" || fail "cannot move libtorch to $home"
