{% include "export/parts/head.sh" %}
{% include "export/parts/root.sh" %}
$become "$tools/bin/provision" logs --lines 200 || :
