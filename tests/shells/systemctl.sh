#!/bin/sh
# A systemctl that remembers what it was told, in /lab/units, and starts a daemon that has the unit's generation.
mkdir -p /lab/units
cd /lab/units || exit 1
verb=$1
[ $# -eq 0 ] || shift

state() { if [ -e "$1" ]; then echo "$2"; else echo "$3"; fi; }

main_pid() {
	pid=0
	[ ! -e "$1.pid" ] || read -r pid <"$1.pid"
	[ -e "/proc/$pid/exe" ] || pid=0
	echo "$pid"
}

start() {
	: >"$1.active"
	[ "$1" = buildkit.service ] || return 0
	# ExecStart begins with the program, which must be there.
	program=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' /etc/systemd/system/buildkit.service)
	[ -x "$program" ] || return 1
	old=$(main_pid "$1")
	[ "$old" = 0 ] || kill "$old"
	generation=$(sed -n 's/^Environment=PROVISION_GENERATION=//p' /etc/systemd/system/buildkit.service)
	PROVISION_GENERATION=$generation setsid sleep 120 >/dev/null 2>&1 &
	echo $! >"$1.pid"
	mkdir -p /run/buildkit /var/lib/buildkit/tmp
	ln -f /lab/socket /run/buildkit/buildkitd.sock
}

case $verb in
	--version) echo "systemd 252 (252.1)" ;;
	daemon-reload) ;;
	enable) : >"$1.enabled" ;;
	start | restart) start "$1" ;;
	disable) rm -f "$1.enabled" ;;
	stop)
		rm -f "$1.active"
		old=$(main_pid "$1")
		[ "$old" = 0 ] || kill "$old"
		rm -f /run/buildkit/buildkitd.sock
		;;
	show)
		shift 2
		for unit; do
			# In the order of systemd's own, not of the question; units that are not there are shown too.
			echo "MainPID=$(main_pid "$unit")"
			echo "NRestarts=0"
			echo "Id=$unit"
			echo "LoadState=loaded"
			echo "ActiveState=$(state "$unit.active" active inactive)"
			echo "UnitFileState=$(state "$unit.enabled" enabled disabled)"
			echo
		done
		;;
	*) exit 1 ;;
esac
