{# Starts the session as root: `sh -c THIS BOOT`. The login shell reads it first and may be csh or fish, and sudo
   writes what it starts to the system's log: so one short line, without quotes, backslashes or "!" inside.
   sudo's messages are read (provision/transport/become.py), hence LC_ALL=C. A prompt of our own (-p) is how a second
   question, that is a wrong password, is told from the first. #}
LC_ALL=C; export LC_ALL;
{%- if sudo == 'always' %} set --{% elif sudo == 'auto' %} [ "$(id -u)" = 0 ] || set --{% endif %}
{%- if sudo != 'never' %} sudo {% if prompt %}-S -p {{ prompt | q }}{% else %}-n{% endif %};{% endif %} exec "$@" sh -c "$0"
{#- #}
