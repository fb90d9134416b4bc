{% include "export/parts/head.sh" %}
{% if own_registry %}
IMAGE=$(printf '%s' "$IMAGE" | tr '[:upper:]' '[:lower:]')
{% endif %}
"$tools/bin/provision" verify "$IMAGE" --platforms {{ platforms | q }}
