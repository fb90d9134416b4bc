{# Each registry of the configuration, asked from the host as buildkitd asks. For templates/probe.sh. #}
# home_of: sets `home` to that of the user who logs in, whose login it is that builds use.
home_of() {
  user=${SUDO_USER:-$(id -un)}
  home=$( { getent passwd "$user" 2>/dev/null || grep "^$user:" /etc/passwd; } | cut -d: -f6)
}

# ask_registry NAME PATTERN URL CURL-OPTIONS...: a record with curl's exit status, the registry's status and Date, what
# became of the login (valid, refused; empty: there is none, or it is not asked for), and curl's words. PATTERN is NAME for sed.
ask_registry() {
  name=$1 pattern=$2 url=$3; shift 3
  answer=$(curl --silent --show-error --output /dev/null --dump-header - --connect-timeout 5 --max-time 10 "$@" "$url" 2>&1 </dev/null)
  code=$?
  answer=$(printf '%s\n' "$answer" | tr -d '\r')
  status=$(printf '%s\n' "$answer" | sed -n 's|^HTTP/[0-9.]* \([0-9]*\).*|\1|p' | tail -n 1)
  date=$(printf '%s\n' "$answer" | sed -n 's/^[Dd]ate: //p' | tail -n 1)
  login=
  [ "$status" != 401 ] || try_login "$@"
  problem=
  [ "$code" -eq 0 ] || problem=$(printf '%s\n' "$answer" | tail -n 1)
  record registry "$name" "$code" "$status" "$date" "$login" "$problem"
}

# try_login CURL-OPTIONS...: sets `login`. The login goes to curl's standard input: others can read its arguments.
try_login() {
  secret=$(tr -d '\n' <"$home/.docker/config.json" 2>/dev/null \
    | sed -n 's/.*"'"$pattern"'"[[:space:]]*:[[:space:]]*{[^{}]*"auth"[[:space:]]*:[[:space:]]*"\([A-Za-z0-9+\/=]*\)".*/\1/p')
  [ -n "$secret" ] || return
  wanted=$(printf '%s\n' "$answer" | sed -n 's/^[Ww][Ww][Ww]-[Aa]uthenticate: //p' | head -n 1)
  at=$url
  case $wanted in
    [Bb]earer\ *)
      at=$(printf '%s' "$wanted" | sed -n 's/.*realm="\([^"\\]*\)".*/\1/p')
      of=$(printf '%s' "$wanted" | sed -n 's/.*service="\([^"\\]*\)".*/\1/p' | sed 's/ /%20/g')
      # A login never leaves TLS.
      case "$url $at" in "https://"*" http://"*) return ;; esac
      at="$at?service=$of" ;;
  esac
  told=$(printf 'header = "Authorization: Basic %s"\nurl = "%s"\n' "$secret" "$at" \
    | curl --silent --output /dev/null --write-out '%{http_code}' --connect-timeout 5 --max-time 10 "$@" --config - 2>/dev/null)
  case $told in 200|204) login=valid ;; 401|403) login=refused ;; esac
}

registries() {
  have curl || return
  [ -n "$work" ] || return
  home_of
  asking=
{% for registry in registries %}
  ask_registry {{ registry.name | q }} {{ registry.pattern | q }} {{ registry.url | q }} {{ registry.options | q }} >"$work/registry-{{ loop.index }}" &
  asking="$asking $!"
{% endfor %}
  # All at once: one that is silent takes its time.
  # shellcheck disable=SC2086 # the numbers are words
  wait $asking
  cat "$work"/registry-*
}
