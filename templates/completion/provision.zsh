#compdef provision inv
# Completion for zsh: tasks, flags, and values such as hosts, groups and platforms, which the program itself knows.
#   eval "$(provision completion zsh)"
_provision() {
    local -a answer shown
    local line name
    answer=("${(@f)$("${${(Q)words[1]}/#\~/$HOME}" --complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $answer[1] == :file ]]; then
        _files
        return
    fi
    for line in $answer; do
        name=${line%%$'\t'*}
        # A colon separates the description.
        shown+=("${name//:/\\:}:${line#*$'\t'}")
    done
    (( $#shown )) && _describe -V value shown
}
if [[ ${funcstack[1]} == _provision ]]; then
    # zsh has loaded this file as the function itself, from a folder of its fpath.
    _provision "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _provision provision inv
fi
