# The guest's init after switch_root: runs the command, and reports how it ended.
B=/run/guest/busybox
say() { echo "$@" >&3; }

if [ ! -e /run/guest/terminal ]; then
	# A pipe, as programs know it: a port could not be opened again by way of /dev/stdout.
	$B cat </run/guest/pipe >&4 3>&- &
	reader=$!
fi

# The host asks when the time is up: that we answer tells it that the guest is alive.
(
	read -r asked <&3 || exit
	say alive
	{
		$B ps -o pid,ppid,stat,args | $B grep -v ' 2 .*[[]'
		for process in /proc/[0-9]*; do
			words=$($B tr '\0' ' ' <"$process/cmdline" | $B head -c 100)
			[ -n "$words" ] || continue
			echo "-- ${process#/proc/} $words"
			$B cat "$process/stack"
		done
	} 2>&1 | $B sed 's/^/dump /' >&3
	say dumped
) 4>&- &

ulimit -Hn 1048576
ulimit -Sn 1024
folder=$($B cat /run/guest/folder)
cd "$folder" || {
	say fail "cannot enter $folder: may the user that runs QEMU read it?"
	$B sleep 5
	$B reboot -f
}
say run
if [ -e /run/guest/terminal ]; then
	$B stty $($B cat /run/guest/terminal) </dev/hvc0
	# with a session of its own, so that the terminal is its controlling one
	$B setsid -c /bin/sh /run/guest/command </dev/hvc0 >/dev/hvc0 2>&1 3>&- 4>&-
	status=$?
else
	$B setsid /bin/sh /run/guest/command </dev/null >/run/guest/pipe 2>&1 3>&- 4>&-
	status=$?
	# What the command left running may hold the pipe for ever.
	tries=0
	while [ $tries -lt 20 ] && [ -e "/proc/$reader/exe" ]; do
		$B usleep 25000
		tries=$((tries + 1))
	done
fi
$B dmesg | $B sed -nE '/Out of memory|BUG:|WARNING:|general protection|segfault/s/^/note /p' >&3
$B sync
read -r mark </run/guest/mark
if [ -e /run/guest/records ]; then
	# The port can be opened once at a time, and something that the command left running may have it.
	read -r records </run/guest/records
	tries=0
	until { printf '%s' "$mark" >"$records"; } 2>/dev/null; do
		[ $tries -lt 20 ] || {
			say unsealed
			break
		}
		$B usleep 25000
		tries=$((tries + 1))
	done
fi
say exit $status
printf '%s' "$mark" >&4
# The host ends QEMU now, and if it does not, we do.
$B sleep 60
$B reboot -f
