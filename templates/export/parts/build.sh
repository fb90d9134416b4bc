set -e
{% include "export/parts/root.sh" %}
{% if own_registry %}
IMAGE=$(printf '%s' "$IMAGE" | tr '[:upper:]' '[:lower:]')
{% endif %}
# The user is in the group of the daemon's socket only after the next login.
$become env DOCKER_CONFIG="${DOCKER_CONFIG:-$HOME/.docker}" {{ paths.BUILDCTL }} build --progress=plain \
  --frontend=dockerfile.v0 --local context=. --local dockerfile=. --opt platform={{ platforms | q }} \
  --import-cache "type=registry,ref=${IMAGE%:*}:cache" \
  --export-cache "type=registry,ref=${IMAGE%:*}:cache,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true" \
  --output "type=image,name=$IMAGE,push=true"
