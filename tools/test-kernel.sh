#!/usr/bin/env bash
# Unpacks Debian's cloud kernel with its modules into a folder of its own, for the machines of the
# secure boot tests: installing it would rebuild this machine's own initial RAM disks.
# Usage: tools/test-kernel.sh [FOLDER]
set -euo pipefail
folder=${1:-/var/cache/vautn-test-kernel}
if compgen -G "$folder/boot/vmlinuz-*" >/dev/null; then exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
apt-get download -qq "$package"
mkdir unpacked
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C unpacked
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv unpacked "$folder"
