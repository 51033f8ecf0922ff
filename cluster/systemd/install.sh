#!/bin/sh
# Installs a worker or a scheduler as a service of systemd, in /opt/fcdcc. As root:
#
#   sh install.sh scheduler
#   sh install.sh worker tcp://192.168.1.10:8786
#
# FCDCC_PACKAGE is what pip installs, by default "fcdcc-keras[worker]"; empty: nothing, for
# /opt/fcdcc has it. DESTDIR is where files go in place of /; nothing is started then.
set -eu

fail() {
    echo "Error: $1" >&2
    exit 1
}

here=$(dirname "$0")
root=${DESTDIR:-}
python=$root/opt/fcdcc/bin/python
settings=$root/etc/fcdcc/fcdcc.env
what=${1:-}
address=${2:-}

case $what in
    scheduler) [ $# -eq 1 ] ;;
    worker) [ $# -eq 2 ] ;;
    *) false ;;
esac || fail "It must be told what to install. Received: '$*'. Write: \
sh install.sh scheduler, or: sh install.sh worker tcp://192.168.1.10:8786"
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "Services are installed by root. \
Received: $(id -un). Write: sudo sh install.sh $*"

package=${FCDCC_PACKAGE-fcdcc-keras[worker]}
if [ -n "$package" ]; then
    [ -x "$python" ] || python3 -m venv "$root/opt/fcdcc" ||
        fail "Python must have venv. On Debian: apt install python3-venv"
    "$python" -m pip install --quiet --upgrade "$package" ||
        fail "$package must be installable on $(hostname), see above: a 64-bit system, \
Python 3.10 or newer, and a way to the package index."
fi

if [ "$what" = worker ]; then
    # What is wrong with the address itself ends this; a scheduler may come later.
    "$python" -c 'import sys
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.address import check_address
try:
    check_address(sys.argv[1])
except ClusterError as error:
    sys.exit(f"Error: {error}")
' "$address"
fi

mkdir -p "$root/etc/fcdcc" "$root/etc/systemd/system"
[ -e "$settings" ] || install -m 644 "$here/fcdcc.env" "$settings"
if [ "$what" = worker ]; then
    sed "s|^DASK_SCHEDULER_ADDRESS=.*|DASK_SCHEDULER_ADDRESS=$address|" \
        "$settings" >"$settings.new"
    mv "$settings.new" "$settings"
fi
install -m 644 "$here/fcdcc-$what.service" "$root/etc/systemd/system/"
[ -n "$root" ] && exit 0

systemctl daemon-reload
systemctl enable "fcdcc-$what"
systemctl restart "fcdcc-$what"
echo "Its log: journalctl -u fcdcc-$what -f"
