# tell_openrc VERB SERVICE: the daemon is started last, handlers as early as OpenRC's own service of that kind.
tell_openrc() {
  level=boot
  [ "$2" != {{ paths.OPENRC_SERVICE }} ] || level=default
  case $1 in
    enable) rc-update add "$2" "$level" ;;
    disable) rc-update delete --all "$2" ;;
    *) rc-service --nocolor "$2" "$1" ;;
  esac
}

mount_by_openrc() { :; }
