#!/bin/sh
# Makes the builder {{ name | comment }}: the hosts that answered when this was written, each for what it builds best.
{% for note in notes %}
# note: {{ note | comment }}
{% endfor %}
{% if ssh_text %}

# What the ssh that buildx starts has to know to reach them.
mkdir -p ~/.ssh/provision
cat >~/.ssh/provision/{{ name | q }}.conf <<'END-OF-SECTIONS'
{{ ssh_text }}END-OF-SECTIONS
grep -qxF {{ include | q }} ~/.ssh/config 2>/dev/null || {
  { printf '%s\n\n' {{ include | q }}; cat ~/.ssh/config 2>/dev/null || :; } >~/.ssh/config.new
  mv ~/.ssh/config.new ~/.ssh/config
}
{% endif %}

{% for command in commands %}
{{ command | q }}
{% endfor %}
