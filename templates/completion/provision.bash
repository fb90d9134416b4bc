# Completion for bash: tasks, flags, and values such as hosts, groups and platforms, which the program itself knows.
#   eval "$(provision completion bash)"
_provision() {
    local line=${COMP_LINE:0:COMP_POINT} word='' candidate
    local -a words
    read -ra words <<<"$line"
    if [[ $line == *[[:space:]] ]]; then words+=(''); else word=${words[${#words[@]} - 1]}; fi
    # readline replaces what follows the last of COMP_WORDBREAKS alone, such as the rest of linux/arm64 behind a colon.
    local kept=${word%"$2"}
    COMPREPLY=()
    compopt +o default 2>/dev/null
    while IFS= read -r candidate; do
        candidate=${candidate%%$'\t'*}
        # Without an answer of ours the shell completes the names of files.
        [[ $candidate != :file ]] || { compopt -o default 2>/dev/null; return 0; }
        [[ $candidate == "$word"* ]] || continue
        COMPREPLY+=("${candidate#"$kept"}")
    done < <("${words[0]/#\~/$HOME}" --complete -- "${words[@]:1}" 2>/dev/null)
    # A list goes on, and so does --flag=.
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _provision provision inv
