# Completion for fish: tasks, flags, and values such as hosts, groups and platforms, which the program itself knows.
#   provision completion fish | source
function __provision_candidates
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answer (eval (string escape -- (string replace -r '^~' $HOME -- $words[1])) --complete -- (string escape -- $words[2..-1] $word) 2>/dev/null)
    if test "$answer[1]" = :file
        __fish_complete_path $word
    else
        printf '%s\n' $answer
    end
end
complete -c provision -c inv -f -a '(__provision_candidates)'
