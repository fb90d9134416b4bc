{# The user's own environment for the daemon, as further arguments NAME=value: read as systemd reads an EnvironmentFile
   (systemd.exec(5)), and never run. For templates/buildkit-service.sh. #}
# The characters one by one: `state` says where in a line they stand. `solid` is the value up to its last character that
# is no blank, since blanks at the end do not count.
  text=$(cat {{ paths.ENVIRONMENT }} 2>/dev/null; echo .)
  text=${text%.} state=line name='' value='' solid=''
  while [ "$state" != "done" ]; do
    rest=${text#?}; char=${text%"$rest"}; text=$rest
    case $char in
      '') kind=none ;; # the file's end
      "$newline"|"$carriage") kind=end ;;
      ' '|"$tab") kind=blank ;;
      *) kind=$char ;;
    esac
    case $state.$kind in
      single.none|double.none|quoted.none) solid=$value ;;
    esac
    case $state.$kind in
      line.end|line.blank) ;;
      line.[#\;]) state=comment ;;
      line.none|comment.none|skipped.none|name.none) state="done" ;;
      line.*) state=name name=$char ;;
      comment.end|skipped.end|name.end) state=line ;;
      comment.\\) state=skipped ;;
      comment.*|skipped.*) state=comment ;;
      name.=) state=value value='' solid='' ;;
      name.*) name=$name$char ;;
      value.end|plain.end|*.none)
        state=line
        [ "$kind" = end ] || state="done"
        while case $name in *[" $tab"]) ;; *) false ;; esac; do name=${name%?}; done
        case $name in [0-9]*|*[!A-Za-z0-9_]*) ;; *) set -- "$@" "$name=$solid" ;; esac ;;
      value.blank) ;;
      value.\') state=single ;;
      value.\") state=double ;;
      value.\\|plain.\\) state=escape solid=$value ;;
      plain.blank) value=$value$char ;;
      value.*|plain.*) state=plain value=$value$char solid=$value ;;
      escape.end) state=plain ;;
      escape.*) state=plain value=$value$char solid=$value ;;
      single.\'|double.\") state=value solid=$value ;;
      double.\\) state=quoted ;;
      single.*|double.*) value=$value$char ;;
      quoted.[\"\\\`$]) state=double value=$value$char ;;
      quoted.*)
        state=double
        [ "$char" = "$newline" ] || value=$value\\$char ;;
    esac
  done
{#- #}
