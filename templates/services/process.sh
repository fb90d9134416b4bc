# tell_process VERB SERVICE
tell_process() { {{ paths.SERVICE_SCRIPT }} "$1"; }

mount_by_process() { :; }
