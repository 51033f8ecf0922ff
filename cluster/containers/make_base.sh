#!/bin/sh
# Makes the image fcdcc-base from Debian's packages, where no image registry is reached.
# As root, with debootstrap and podman:  ./make_base.sh [MIRROR]
set -eu

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$root" "$@"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --directory "$root" --create . | podman import - localhost/fcdcc-base
