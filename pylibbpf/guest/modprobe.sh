#!/run/guest/busybox sh
# modprobe [-q] [--] NAME...: for the guest's kernel, which calls it, and for people.
# /run/guest/alias/NAME holds the modules that a name stands for, in the order of loading.
B=/run/guest/busybox
status=0
quiet=
for name in "$@"; do
	case $name in
	-q) quiet=1 ;;
	-*) ;;
	*)
		name=$(echo "$name" | $B tr - _)
		[ -e "/sys/module/$name" ] && continue
		if [ ! -e "/run/guest/alias/$name" ]; then
			[ -n "$quiet" ] || echo "modprobe: this guest carries no module $name" >&2
			status=1
			continue
		fi
		for module in $($B cat "/run/guest/alias/$name"); do
			[ -e "/sys/module/$module" ] || $B insmod "/run/guest/modules/$module.ko" || status=1
		done
		;;
	esac
done
exit $status
