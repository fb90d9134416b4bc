# tell_systemd VERB UNIT
tell_systemd() {
  systemctl daemon-reload || return 1
  # The socket's folder must have its group before the daemon creates the socket (moby/buildkit#4618).
  [ "$1 $2" != "restart {{ paths.SERVICE }}" ] || systemd-tmpfiles --create {{ paths.TMPFILES }} || return 1
  systemctl "$1" "$2" && return
  if [ "$1" = restart ]; then
    words=$(words_by_systemd "$2")
    note="$words${words:+; }systemd: $(systemctl show -P Result "$2" 2>/dev/null)"
  fi
  return 1
}

# words_by_systemd UNIT: the last words of its last process. Those of systemd on a unit that it starts again and again would
# hide them, and so would those of the process before it.
words_by_systemd() {
  start=$(systemctl show -P InvocationID "$1" 2>/dev/null)
  journalctl --sync >/dev/null 2>&1
  journalctl -q -n 3 -o cat _SYSTEMD_UNIT="$1" ${start:+"_SYSTEMD_INVOCATION_ID=$start"} 2>/dev/null | tail -n 3
}

mount_by_systemd() { [ ! -d /run/systemd/system ] || systemctl start {{ paths.BINFMT_MOUNT }}; }
