# The guest's init in the host's files: runs the command, and reports how it ended.
PATH=/run/guest/bin # for this script; the command has its own
say() { echo "$@" >&3; }
. /run/guest/own # folder, mark, terminal, records

if [ -z "$terminal" ]; then
	# A pipe, as programs know it: a port could not be opened again by way of /dev/stdout.
	cat </run/guest/pipe >&4 3>&- &
	reader=$!
fi

# The host asks when the time is up: that we answer tells it that the guest is alive.
(
	read -r asked <&3 || exit
	say alive
	{
		ps -o pid,ppid,stat,args | grep -v ' 2 .*[[]'
		for process in /proc/[0-9]*; do
			words=$(tr '\0' ' ' <"$process/cmdline" | head -c 100)
			[ -n "$words" ] || continue
			echo "-- ${process#/proc/} $words"
			cat "$process/stack"
		done
	} 2>&1 | sed 's/^/dump /' >&3
	say dumped
) 4>&- &

ulimit -Hn 1048576
ulimit -Sn 1024
cd "$folder" || {
	say fail "cannot enter $folder: may the user that runs QEMU read it?"
	sleep 5
	reboot -f
}
say run
if [ -n "$terminal" ]; then
	stty $terminal </dev/hvc0
	# with a session of its own, so that the terminal is its controlling one
	setsid -c /bin/sh /run/guest/command </dev/hvc0 >/dev/hvc0 2>&1 3>&- 4>&-
	status=$?
else
	setsid /bin/sh /run/guest/command </dev/null >/run/guest/pipe 2>&1 3>&- 4>&-
	status=$?
	# What the command left running may hold the pipe for ever.
	tries=0
	while [ $tries -lt 100 ] && [ -e "/proc/$reader/exe" ]; do
		usleep 5000
		tries=$((tries + 1))
	done
fi
say log # in which the host looks for what may explain a result
dmesg >&3
say "$mark"
shares_written
if [ -n "$records" ]; then
	# The port can be opened once at a time, and something that the command left running may have it.
	read -r device </run/guest/records
	tries=0
	until { printf '%s' "$mark" >"$device"; } 2>/dev/null; do
		[ $tries -lt 20 ] || {
			say unsealed
			break
		}
		usleep 25000
		tries=$((tries + 1))
	done
fi
say exit $status
printf '%s' "$mark" >&4
# The host ends QEMU now, and if it does not, we do.
sleep 60
reboot -f
