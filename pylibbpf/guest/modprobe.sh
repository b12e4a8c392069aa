#!/run/guest/busybox sh
# modprobe [-q] [--] NAME...: for the guest's kernel, which calls it, and for people.
# A line of /run/guest/modules/aliases: a name, and the modules that it stands for, in the order of
# loading.
PATH=/run/guest/bin

load() {
	while read -r alias modules; do
		[ "$alias" = "$1" ] || continue
		for module in $modules; do
			[ -e "/sys/module/$module" ] || insmod "/run/guest/modules/$module.ko" || return
		done
		return
	done </run/guest/modules/aliases
	[ -n "$quiet" ] || echo "modprobe: this guest carries no module $1" >&2
	return 1
}

status=0
quiet=
for name in "$@"; do
	case $name in
	-q) quiet=1 ;;
	-*) ;;
	*)
		name=$(echo "$name" | tr - _)
		[ -e "/sys/module/$name" ] || load "$name" || status=1
		;;
	esac
done
exit $status
