#!/bin/sh
# A login in the Docker configuration of the user whose shell this is: reads the file, writes it anew if it is still what was
# read, or calls a credential helper. What is secret comes on standard input: an argument would be seen by every user.
# Runs in dash, bash and busybox sh, with coreutils or busybox. Prints one record.
LC_ALL=C; export LC_ALL
umask 077
refuse() { printf 'refused\t%s\n' "$(printf '%s' "$1" | tr '\t\n' '  ')"; exit; }

{% if verb in ("read", "write") %}
folder=${DOCKER_CONFIG:-$HOME/.docker}
file=$folder/config.json
{% endif %}
{% if verb == "read" %}
if [ ! -e "$file" ]; then printf 'none\t%s\n' "$file"; exit; fi
problem=$(cat "$file" 2>&1 >/dev/null) || refuse "$problem"
printf 'file\t%s\t%s\n' "$file" "$(base64 <"$file" | tr -d '\n')"
{% elif verb == "write" %}
problem=$(mkdir -p "$folder" 2>&1) || refuse "$problem"
# Through a link to the file itself: people keep their settings in a repository.
real=$(readlink -f "$file") || refuse "$file: a link to nowhere"
# Logins at once wait for each other where flock is; everywhere the file must be what was read.
exec 9<"$folder" || refuse "$folder cannot be opened"
! command -v flock >/dev/null || flock 9
seen=
if [ -e "$real" ]; then seen=$(sha256sum <"$real"); seen=${seen%% *}; fi
if [ "$seen" != {{ digest | q }} ]; then echo changed; exit; fi
new=$real.provision.$$
trap 'rm -f "$new"' EXIT
problem=$( { cat >"$new"; } 2>&1) || refuse "$problem"
problem=$(mv -f "$new" "$real" 2>&1) || refuse "$problem"
printf 'written\t%s\n' "$real"
{% else %}
command -v {{ program | q }} >/dev/null || refuse {{ (program ~ " is not installed") | q }}
# It says what is wrong on standard output. No secret is in a refusal.
problem=$({{ program | q }} {{ verb | q }} 2>&1) || refuse "$problem"
echo kept
{% endif %}
