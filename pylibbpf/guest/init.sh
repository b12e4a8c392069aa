#!/bin/busybox sh
# The guest's init, in its initramfs: finds the host's ports and root file system, and hands over
# to run.sh in it. Reports on the control port; before that is found, on the console.
# Each process costs an emulated guest milliseconds: what the shell can do itself, it does.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev 2>/dev/null # or mounted already (CONFIG_DEVTMPFS_MOUNT)

modules=
[ -e /guest/needed ] && read -r modules </guest/needed
for module in $modules; do
	$B insmod "/guest/modules/$module.ko" || echo "pylibbpf-guest: insmod $module failed"
done

control=
output=
records=
tries=0
while [ $tries -lt 100 ]; do
	for port in /sys/class/virtio-ports/*; do
		[ -e "$port/name" ] && read -r name <"$port/name" || continue
		case $name in
		guest.control) control=/dev/${port##*/} ;;
		guest.output) output=/dev/${port##*/} ;;
		guest.records) records=/dev/${port##*/} ;;
		esac
	done
	[ -e /guest/terminal ] && [ -e /dev/hvc0 ] && output=/dev/hvc0
	[ -n "$control" ] && [ -n "$output" ] && { [ -n "$records" ] || [ ! -e /guest/records ]; } && break
	$B usleep 50000
	tries=$((tries + 1))
done
if [ -z "$control" ] || [ -z "$output" ]; then
	echo "pylibbpf-guest: fail the kernel has no virtio console (CONFIG_VIRTIO_CONSOLE, CONFIG_VIRTIO_PCI)"
	$B reboot -f
fi

exec 3<>"$control" 4<>"$output"
say() { echo "$@" >&3; }
fail() {
	say fail "$@"
	$B sleep 5 # the host ends us before that
	$B reboot -f
}
say boot
[ -z "$records" ] || echo "$records" >/guest/records

options=trans=virtio,version=9p2000.L,msize=512000
$B mount -t 9p -o "$options,ro,cache=loose" host /lower ||
	fail "cannot mount the host's files (CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO)"
$B mount -t tmpfs -o mode=755,size=75% tmpfs /upper
$B mkdir /upper/files /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new ||
	fail "cannot lay a writable layer over the host's files (CONFIG_OVERLAY_FS)"

read -r release </proc/sys/kernel/osrelease
$B mkdir -p /new/proc /new/sys /new/dev /new/run /new/tmp /new/sbin /new/boot /new/lib/modules
$B cp -a /guest/dev/. /dev/ # the same devtmpfs as /new/dev is to be
# What this kernel was built without is missing then, and what needs it says so.
$B mount -a -T /proc/self/fd/0 <<'EOF'
proc /new/proc proc
sys /new/sys sysfs
dev /new/dev devtmpfs
run /new/run tmpfs mode=755
shm /new/dev/shm tmpfs mode=1777
devpts /new/dev/pts devpts ptmxmode=666
bpf /new/sys/fs/bpf bpf
debugfs /new/sys/kernel/debug debugfs
tracefs /new/sys/kernel/tracing tracefs
cgroup /new/sys/fs/cgroup cgroup2
securityfs /new/sys/kernel/security securityfs
EOF
[ -e /guest/config ] && $B cp /guest/config "/new/boot/config-$release"
if [ -e /guest/module-folder ] && [ ! -e "/new/lib/modules/$release" ]; then
	read -r folder </guest/module-folder
	$B ln -s "$folder" "/new/lib/modules/$release"
fi
$B ip link set lo up
echo guest >/proc/sys/kernel/hostname

number=0
while [ -e "/guest/share.$number" ]; do
	share=$($B cat "/guest/share.$number") # it may hold any character
	$B mkdir -p "/new$share"
	$B mount -t 9p -o "$options,cache=mmap" "share$number" "/new$share" ||
		fail "cannot mount the shared folder $share"
	number=$((number + 1))
done

# busybox finds out by its own name that it is called with an applet's name as its argument
$B mkdir /new/run/lock
$B cp -r /guest /bin/busybox /new/run/
$B mv /new/run/busybox /new/run/guest/busybox
$B mkfifo /new/run/guest/pipe
$B ln -sf /run/guest/modprobe /new/sbin/modprobe
echo /run/guest/modprobe >/proc/sys/kernel/modprobe
$B umount /proc
$B umount /sys
$B umount -l /dev
# not chroot: user namespaces are refused inside one
exec $B switch_root /new /run/guest/busybox sh /run/guest/run.sh
