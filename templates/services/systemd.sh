# tell_systemd VERB UNIT
tell_systemd() {
  systemctl daemon-reload || return 1
  # The socket's folder must have its group before the daemon creates the socket (moby/buildkit#4618).
  [ "$1 $2" != "restart {{ paths.SERVICE }}" ] || systemd-tmpfiles --create {{ paths.TMPFILES }} || return 1
  systemctl "$1" "$2" || {
    note=$(journalctl -q -n 3 -o cat -u "$2" 2>/dev/null | tail -n 3)
    return 1
  }
}

mount_by_systemd() { [ ! -d /run/systemd/system ] || systemctl start {{ paths.BINFMT_MOUNT }}; }
