#!/bin/sh
# Installs or upgrades the device agent on this machine, as root:
#   install.sh vautn-agent.mjs [agent.json]
# An agent that runs already is not replaced at once: the new one is tried by the launcher, and stays
# only if it reaches the platform.
set -eu
[ $# -ge 1 ] || { echo "usage: install.sh vautn-agent.mjs [agent.json]" >&2; exit 2; }
[ -f "$1" ] || { echo "install.sh: there is no file $1" >&2; exit 1; }
root="${DESTDIR:-}"
here=$(dirname "$0")
home="$root/usr/lib/vautn-agent"
node="${VAUTN_NODE:-node}"
command -v "$node" >/dev/null || { echo "install.sh: Node 22 or later is needed" >&2; exit 1; }
major=$("$node" -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 22 ] || { echo "install.sh: Node $major is too old, 22 is needed" >&2; exit 1; }
"$node" "$1" --version >/dev/null || { echo "install.sh: $1 does not run here" >&2; exit 1; }

mkdir -p "$home" "$root/etc/vautn" "$root/etc/systemd/system"
install -m 755 "$here/launch" "$home/launch"
install -m 644 "$here/vautn-agent.service" "$root/etc/systemd/system/vautn-agent.service"
if [ $# -ge 2 ] && [ ! -e "$root/etc/vautn/agent.json" ]; then
  install -m 600 "$2" "$root/etc/vautn/agent.json"
fi
if [ -f "$home/current.mjs" ]; then
  install -m 644 "$1" "$home/next.mjs.new"
  mv "$home/next.mjs.new" "$home/next.mjs"
  rm -f "$root/var/lib/vautn/launch.tries"
  echo "the new agent is tried at the next start"
else
  install -m 644 "$1" "$home/current.mjs"
  echo "installed"
fi
sync "$home"
if [ -z "$root" ] && command -v systemctl >/dev/null; then
  systemctl daemon-reload
  systemctl enable vautn-agent
  systemctl restart vautn-agent
fi
