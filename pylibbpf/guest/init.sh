#!/run/guest/busybox sh
# The guest's init, in its initramfs: finds the host's ports and root file system, and hands over
# to run.sh in it. Reports on the control port; before that is found, on the console.
# Each process costs an emulated guest milliseconds, and one that busybox starts by exec some more:
# what the shell can do itself, it does, and `mount -a` mounts many at once.
PATH=/run/guest/bin # names of busybox, most of which its shell runs without exec
/run/guest/busybox mount -a -T /run/guest/mounts/first

. /run/guest/modules/needed
for module in $modules; do
	insmod "/run/guest/modules/$module.ko" || echo "pylibbpf-guest: insmod $module failed"
done

. /run/guest/own
control=
output=
device=
tries=0
while [ $tries -lt 500 ]; do
	for port in /sys/class/virtio-ports/*; do
		[ -e "$port/name" ] && read -r name <"$port/name" || continue
		case $name in
		guest.control) control=/dev/${port##*/} ;;
		guest.output) output=/dev/${port##*/} ;;
		guest.records) device=/dev/${port##*/} ;;
		esac
	done
	[ -n "$terminal" ] && [ -e /dev/hvc0 ] && output=/dev/hvc0
	[ -n "$control" ] && [ -n "$output" ] && [ -n "$device" -o -z "$records" ] && break
	usleep 10000
	tries=$((tries + 1))
done
if [ -z "$control" ] || [ -z "$output" ]; then
	echo "pylibbpf-guest: fail the kernel has no virtio console (CONFIG_VIRTIO_CONSOLE, CONFIG_VIRTIO_PCI)"
	reboot -f
fi

exec 3<>"$control" 4<>"$output"
say() { echo "$@" >&3; }
fail() {
	say fail "$@"
	sleep 5 # the host ends us before that
	reboot -f
}
say boot
[ -z "$device" ] || echo "$device" >/run/guest/records

mkdir /upper/files /upper/work
if ! mount -a -T /run/guest/mounts/files; then
	[ -e /lower/. ] && [ -e /lower/etc ] || fail "cannot mount the host's files (CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO)"
	fail "cannot lay a writable layer over the host's files (CONFIG_OVERLAY_FS)"
fi
missing=
for folder in proc sys dev run tmp sbin boot lib/modules; do
	[ -e "/new/$folder" ] || missing="$missing /new/$folder"
done
[ -z "$missing" ] || mkdir -p $missing
cp -a /run/guest/dev/. /dev/ # the same devtmpfs as /new/dev is to be
# What this kernel was built without is missing then, and what needs it says so.
mount -a -T /run/guest/mounts/kernel

read -r release </proc/sys/kernel/osrelease
[ -e /run/guest/config ] && ln -sf /run/guest/config "/new/boot/config-$release"
[ -n "$folder_of_modules" ] && [ ! -e "/new/lib/modules/$release" ] &&
	ln -s "$folder_of_modules" "/new/lib/modules/$release"
ln -sf /run/guest/modprobe /new/sbin/modprobe
echo /run/guest/modprobe >/proc/sys/kernel/modprobe
ip link set lo up
echo guest >/proc/sys/kernel/hostname

share() {
	mkdir -p "/new$2"
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap "$1" "/new$2" ||
		fail "cannot mount the shared folder $2"
}
shares

# As switch_root does, but for removing all that lies here: /run is used further on. Not chroot
# alone: user namespaces are refused inside one.
cd /new
mount -o move . /
exec chroot . /run/guest/busybox sh /run/guest/run.sh
