# tell_process VERB SERVICE
tell_process() { {{ paths.SERVICE_SCRIPT }} "$1"; }

words_by_process() { tail -n 3 {{ paths.LOG }} 2>/dev/null; }

mount_by_process() { :; }
