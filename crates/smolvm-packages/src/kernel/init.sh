#!/bin/busybox sh
# smolvm's initrd: load the modules that the root disk needs, mount it, go on to its init.
# Everything but mounting, loading and waiting is done by the shell itself: a fork is slow where the processor is emulated.

busybox=/bin/busybox

# Through the kernel's log where it can be: what a terminal still holds back is lost when the kernel panics.
say() {
	if [ -c /dev/kmsg ]; then
		echo "<2>smolvm-initrd: $1" > /dev/kmsg
	else
		echo "smolvm-initrd: $1" > /dev/console
	fi
}

# The kernel panics when its first process ends, and then does what panic= says: reboot, or stay.
fail() {
	say "cannot boot: $1"
	exit 1
}

$busybox mount -t devtmpfs -o mode=755 devtmpfs /dev || fail "cannot mount /dev"
$busybox mount -t proc -o nosuid,nodev,noexec proc /proc || fail "cannot mount /proc"

root=/dev/vda
type=ext4
flags=
write=ro
init=
wait=10
read -r command_line < /proc/cmdline
set -f
for word in $command_line; do
	case $word in
	root=*) root=${word#root=} ;;
	rootfstype=*) type=${word#rootfstype=} ;;
	rootflags=*) flags=,${word#rootflags=} ;;
	ro | rw) write=$word ;;
	init=*) init=${word#init=} ;;
	rootdelay=*) wait=${word#rootdelay=} ;;
	esac
done
set +f
case $root in
/dev/*) ;;
*) fail "root=$root is not a path below /dev" ;;
esac

for module in /modules/*.ko; do
	[ -e "$module" ] || break
	name=${module##*/???-}
	name=${name%.ko}
	# `module.option=value` of the command line is for modules too, when they are loaded here.
	options=
	for word in $command_line; do
		case $word in "$name".*=*) options="$options ${word#*.}" ;; esac
	done
	$busybox insmod "$module" $options || say "module $name was not loaded"
done

# In tenths of a second.
left=${wait}0
until [ -b "$root" ]; do
	if [ "$left" -le 0 ]; then
		there=
		for device in /dev/*; do [ -b "$device" ] && there="$there $device"; done
		fail "the root disk $root did not appear within $wait s; there is:${there:- no disk}"
	fi
	left=$((left - 1))
	$busybox sleep 0.1
done

$busybox mount -t "$type" -o "$write$flags" "$root" /newroot || fail "cannot mount $root as $type"

if [ -z "$init" ]; then
	for init in /init /sbin/init; do
		[ -e "/newroot$init" ] || [ -L "/newroot$init" ] && break
	done
fi
[ -e "/newroot$init" ] || [ -L "/newroot$init" ] || fail "$root has no $init"

# The image's init makes these itself, and finds them as it would without an initrd.
$busybox umount /proc
$busybox umount /dev
exec $busybox switch_root /newroot "$init" "$@"
