#!/bin/busybox sh
# First program of a machine with a verified boot chain. The firmware has checked the loader, the
# loader had the firmware check this; from here on, nothing runs that the signed command line does
# not name by its hash. Whatever cannot be right strikes its slot out and restarts; nothing restarts
# without end: a slot is struck out once, and the recovery image counts its own tries.
B=/bin/busybox
$B mkdir -p /proc /sys /dev /efi /data /root /sbin /usr/bin /usr/sbin
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
$B --install -s /bin
export PATH=/bin:/sbin:/usr/bin
GLOBAL=8be4df61-93ca-11d2-aa0d-00e098032b8c
LOADER=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
OURS=56415554-4e00-4000-8000-000000000001
VARS=/sys/firmware/efi/efivars
MAX_BOOTS=6
MAX_RECOVERIES=3

say() { echo "VAUTN: $*" > /dev/console; }
cut_power() { sync; umount /efi 2> /dev/null; sync; "$1" -f; sleep 600; }

for word in $(cat /proc/cmdline); do
  case $word in
    vautn.version=*) VERSION=${word#*=} ;;
    vautn.counter=*) COUNTER=${word#*=} ;;
    vautn.roothash=*) ROOTHASH=${word#*=} ;;
    vautn.salt=*) SALT=${word#*=} ;;
    vautn.blocks=*) BLOCKS=${word#*=} ;;
    vautn.recovery=1) RECOVERY=1 ;;
  esac
done
while read -r module; do insmod "/modules/$module" 2> /dev/null; done < /modules/order
mount -t efivarfs efivarfs $VARS
# One variable without its four bytes of attributes.
variable() { tail -c +5 "$VARS/$1" 2> /dev/null; }
number() { variable "$1" | od -An -tu4 -N4 -j"${2:-0}" | tr -d ' '; }
set_number() { # name, low byte
  chattr -i "$VARS/$1" 2> /dev/null
  printf "\\x07\\x00\\x00\\x00\\x$(printf %02x "$2")\\x00\\x00\\x00" > "$VARS/$1"
}
partition() { # by its name in the table
  grep -l "^PARTNAME=$1\$" /sys/class/block/*/uevent 2> /dev/null | while read -r file; do
    basename "$(dirname "$file")"
  done | head -n 1
}

# The kernel finds its disks by itself; a slow one is waited for, not for ever.
tries=0
while [ -z "$(partition vautn-esp)" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
# dirsync: a renamed file has its size in its new entry before the old one goes (Linux fs/fat).
mount -t vfat -o dirsync "/dev/$(partition vautn-esp)" /efi || { say "no system partition"; cut_power poweroff; }

# vautn-0002-b+2-1.efi -> vautn-0002-b, the name that stays while the loader counts.
entry=$(variable LoaderEntrySelected-$LOADER | tr -d '\000')
stem=${entry%%+*}; stem=${stem%.efi}
slot=${stem##*-}
own_file() { for file in /efi/EFI/Linux/"$stem".efi /efi/EFI/Linux/"$stem"+*.efi; do
  [ -e "$file" ] && echo "$file" && return; done; }
# Entries that the loader would take before one that is struck out; it passes over empty files.
usable() { for file in /efi/EFI/Linux/vautn-*-[ab]*.efi; do
  case $file in *+0*) ;; *) [ -s "$file" ] && echo "$file" ;; esac; done; }
mark_bad() { # reason: the loader takes this slot last from now on
  say "slot $slot struck out: $1"
  echo "$1" > /efi/vautn/last-fault
  file=$(own_file)
  case $file in *+0*) ;; ?*) mv "$file" "/efi/EFI/Linux/$stem+0-1.efi" ;; esac
  rm -f /efi/vautn/boots
}
strike() { # the other slot is next, or else the recovery image, which is the firmware's Boot0001
  case $(own_file) in *+0*) again=1 ;; esac
  mark_bad "$1"
  # Started although it was struck out: the loader has nothing better, whatever the names say.
  [ -n "$(usable)" ] && [ -z "$again" ] || printf '\007\000\000\000\001\000' > "$VARS/BootNext-$GLOBAL"
  cut_power reboot
}

if [ -n "$RECOVERY" ]; then
  recoveries=$(number VautnRecoveries-$OURS); recoveries=$((${recoveries:-0} + 1))
  set_number VautnRecoveries-$OURS $recoveries
  say "recovery $VERSION, try $recoveries, failed entry: ${entry:-none}"
  if [ $recoveries -le $MAX_RECOVERIES ]; then
    # The loader ran, and what it chose was refused by the firmware or left at once.
    if [ -n "$entry" ] && [ -n "$(own_file)" ]; then
      mark_bad "refused by the firmware"
      [ -n "$(usable)" ] && cut_power reboot
    fi
    # The loader itself did not run: put back the signed one that this image carries.
    if [ -z "$entry" ] && ! cmp -s /loader.efi /efi/EFI/BOOT/BOOTX64.EFI; then
      say "loader restored"
      cp /loader.efi /efi/EFI/BOOT/BOOTX64.EFI.new &&
        mv /efi/EFI/BOOT/BOOTX64.EFI.new /efi/EFI/BOOT/BOOTX64.EFI
      cut_power reboot
    fi
  fi
  say "RECOVERY stays: no slot can be started (last fault: $(cat /efi/vautn/last-fault 2> /dev/null))"
  umount /efi
  while :; do sleep 3600; done
fi

say "slot=$slot version=$VERSION counter=$COUNTER SecureBoot=$(variable SecureBoot-$GLOBAL | od -An -tu1 | tr -d ' ')"
floor=$(number VautnFloor-$OURS)
[ "${COUNTER:-0}" -ge "${floor:-0}" ] || strike "security counter $COUNTER is below the floor $floor"

# Boots that came to nothing; the agent takes the file away when the machine is well.
boots=$(cat /efi/vautn/boots 2> /dev/null); boots=$((${boots:-0} + 1))
[ $boots -le $MAX_BOOTS ] || strike "started $MAX_BOOTS times without becoming healthy"
echo $boots > /efi/vautn/boots; sync

other=a; [ "$slot" = a ] && other=b
open_root() { # partition: only the content that the command line names can be read from it
  [ -n "$1" ] || return 1
  dmsetup create vautn-root --readonly --noudevsync --table \
    "0 $((BLOCKS * 8)) verity 1 /dev/$1 /dev/$1 4096 4096 $BLOCKS $BLOCKS sha256 $ROOTHASH $SALT" \
    > /dev/null 2>&1 || return 1
  mount -t squashfs -o ro /dev/dm-0 /root 2> /dev/null && return 0
  dmsetup remove vautn-root > /dev/null 2>&1
  return 1
}
open_root "$(partition vautn-root-$slot)" || open_root "$(partition vautn-root-$other)" ||
  strike "the root image is not the signed one"
mount -t ext4 "/dev/$(partition vautn-data)" /root/data || say "no data partition"
for folder in proc sys dev efi; do mount --move /$folder /root/$folder; done
exec switch_root /root /sbin/init
