{# Starts the session as root: `sh -c THIS BOOT`. The login shell reads it first and may be csh, fish or nushell, and sudo
   writes what it starts to the system's log: so one short line, without single quotes, backslashes or "!" inside.
   sudo's messages are read (provision/transport/become.py), hence LC_ALL=C. A prompt of our own (-p) tells its question
   from everything else that is said. It is written in two halves, as a host may print the command itself (`set -x`, an
   audit); sudo puts the name of the user whose password it wants for %p. Small systems have doas in place of sudo; it reads a
   password from a terminal only. #}
LC_ALL=C; export LC_ALL;
{%- if sudo == 'auto' %} [ "$(id -u)" = 0 ] ||{% endif %}
{%- if sudo != 'never' %} { set -- sudo {% if halves %}-S -p "[{{ halves[0] | q }}""{{ halves[1] | q }} %p]"{% else %}-n{% endif %}; command -v sudo >/dev/null || { command -v doas >/dev/null && set -- doas -n; }; };{% endif %} exec "$@" sh -c "$0"
{#- #}
