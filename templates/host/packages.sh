{# Which packages came with this tool. For templates/apply.sh. -#}
before={{ paths.OWN }}/packages-before

# all_packages MANAGER: the names of all packages that are installed; fails where that cannot be told.
all_packages() {
  case $1 in
    apt-get) dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n -e '/ not-installed$/d' -e '/ config-files$/d' -e 's/ .*//p' ;;
    dnf|zypper) rpm -qa --qf '%{NAME}\n' ;;
    apk) apk info -q ;;
    pacman) pacman -Qq ;;
  esac 2>/dev/null
}

# begin_packages MANAGER: notes what is installed. A list that is there already is that of a run that was cut.
begin_packages() {
  [ ! -f "$before" ] || return 0
  mkdir -p "$own_folder" && { echo "$1"; all_packages "$1" || :; } >"$before.new" && settle "$before.new" && mv -f "$before.new" "$before"
}

# finish_packages: what the package manager of a run that was killed had begun. Until then dpkg refuses all other work.
finish_packages() {
  [ -f "$before" ] || return 0
  read -r tool <"$before"
  [ "$tool" != apt-get ] || DEBIAN_FRONTEND=noninteractive apart dpkg --force-confdef --force-confold --configure -a
}

# conclude_packages: what is installed now and was not then is ours.
conclude_packages() {
  [ -f "$before" ] || return 0
  read -r tool <"$before"
  # Where no list can be had, all would seem new.
  [ "$(wc -l <"$before")" -le 1 ] || for name in $(all_packages "$tool" | grep -v -x -F -f "$before"); do
    remember '' package "$tool" "$name" || return 1
  done
  rm -f "$before"
}
{#- #}
