#!/bin/sh
# Runs light workers in an emulated arm64 userland and compares them with plain Keras.
# As root, with Debian's debootstrap and qemu-user-static, after `make demo`:
#   cluster/boards/try_aarch64.sh FOLDER [MIRROR]
# FOLDER, of a gigabyte, keeps the userland for the next time.
set -eu
cd "$(dirname "$0")/../.."

# What it mounts is seen by nobody else, and gone when it ends.
if [ "${1:-}" != --unshared ]; then
    exec unshare --mount "$0" --unshared "$@"
fi
mkdir -p "$2"
folder=$(realpath "$2")
shift 2
root=$folder/arm64
python=${PYTHON:-$PWD/.venv/bin/python}

formats=/proc/sys/fs/binfmt_misc
[ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats
[ -e $formats/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > $formats/register

if ! [ -e "$folder/ready" ]; then
    rm -rf "$root"
    debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv \
        bookworm "$root" "$@"
    touch "$folder/ready"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

# What the registry has for aarch64, of the versions that are used here.
rm -rf "$folder/wheel" "$root"/wheels/fcdcc_keras-*.whl
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" .
wheel=$(echo "$folder"/wheel/*.whl)
"$python" -m pip freeze --exclude-editable |
    grep -E '^(dask|distributed|numpy|msgpack|ai-edge-litert)==' > "$folder/versions"
"$python" -m pip download --quiet --dest "$root/wheels" --only-binary :all: \
    --python-version 3.11 --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    --constraint "$folder/versions" "$wheel[worker]"
chroot "$root" sh -euc '
    [ -e /opt/fcdcc ] || python3 -m venv /opt/fcdcc
    install() { /opt/fcdcc/bin/pip install --no-index --find-links /wheels "$@"; }
    install "fcdcc-keras[worker]"
    install --force-reinstall --no-deps fcdcc-keras  # of the same version, changed'

exec "$python" cluster/boards/compare_workers.py chroot "$root" /opt/fcdcc/bin/fcdcc-keras
