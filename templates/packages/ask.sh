{# What package managers would do to bring the emulators. Asked only where a wanted one is missing, as each takes up to a
   second; told to change nothing and to fetch nothing. For templates/probe.sh. #}
# lacks NAME ARGC PATH...: notes the architecture NAME in `lacking` if its program did not run, or by an emulator whose
# file is gone. What the CPU runs itself lacks nothing.
lacks() {
  name=$1 argc=$2; shift 2
  case "$answered " in *" $name=$argc "*)
    executable=
    { IFS=$tab read -r _ _ executable _ <"$work/seen-$name"; } 2>/dev/null
    case ${executable##*/} in p-*) return 0 ;; esac
    for path do [ ! -f "$path" ] || return 0; done ;;
  esac
  lacking="$lacking $name"
}

package_managers() {
  lacking=
{% for arch in wanted %}
  lacks {{ arch.name | q }} {{ arch.argc }} {{ arch.candidates | map('q') | join(' ') }}
{% endfor %}
  [ -n "$lacking" ] || return
{% for manager in packagers %}
  # shellcheck disable=SC2046,SC2059,SC2086,SC2182 # words are wanted; a format with %s is repeated for each
  have {{ manager.command | q }} && ask_manager {{ manager.command | q }} $(printf {{ manager.format | q }} $lacking)
{% endfor %}
}

# ask_manager MANAGER NAME...: whether the packages are installed; if they are not, what the manager would do to install
# them. apt-get is asked for the first of the names that is no virtual package.
ask_manager() {
  manager=$1; shift
  instead=
  [ "$manager" != apt-get ] || { instead=$2; set -- "$1"; }
  is_installed "$@" && return
  if [ "$manager" = apt-get ]; then
    case $(real "$1") in
      unknown) record install "$manager" unknown "$1 $instead"; return ;;
      virtual) set -- "$instead"; is_installed "$@" && return ;;
    esac
  fi
  answer=$(
    case $manager in
      apt-get) apt_trial "$@" ;;
      dnf) dnf -q -C --assumeno install "$@" ;;
      apk) apk add --simulate "$@" ;;
      pacman) pacman -Sp --print-format %n "$@" ;;
      zypper) zypper --non-interactive --no-refresh install --dry-run --no-recommends "$@" ;;
    esac 2>&1 </dev/null
  )
  record install "$manager" $? "$*"
  printf '%s\n' "$answer" | tail -n 50 | sed 's/^/|/'
}

# is_installed NAME...: says which of the packages are; true if all are.
is_installed() {
  # shellcheck disable=SC2016 # dpkg-query fills it in
  found=$(
    case $manager in
      apt-get) dpkg-query -W -f '${Status} ${Package}\n' "$@" | sed -n 's/^.* ok installed //p' ;;
      dnf|zypper) rpm -q --qf '%{NAME}\n' "$@" | grep -v ' ' ;;
      apk) apk info -e "$@" ;;
      pacman) pacman -Qq "$@" ;;
    esac 2>/dev/null </dev/null | tr '\n' ' '
  )
  [ -z "$found" ] || record installed "$manager" "${found% }"
  wanted=$#
  # shellcheck disable=SC2086 # they are counted
  set -- $found
  [ $# -eq "$wanted" ]
}

# A simulation takes no lock, and so does not notice what apt notices as it takes it (debSystem::CheckUpdates).
apt_trial() {
  for update in /var/lib/dpkg/updates/[0-9]*; do
    [ ! -e "$update" ] || {
      echo "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."; return 100
    }
  done
  apt-get --simulate -q -o Debug::NoLocking=true install --no-install-recommends "$@"
}

{% include "packages/real.sh" %}
