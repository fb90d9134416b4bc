{# For templates/packages/ask.sh and install.sh. #}
# real NAME: says "real" of a package, "virtual" of a name that others provide, "unknown" where apt-get's lists have neither,
# or are not there. An installed package is real without any list.
real() {
  case $(apt-cache policy "$1" 2>/dev/null) in
    '') echo unknown ;;
    *'Candidate: (none)'*) echo virtual ;;
    *) echo real ;;
  esac
}
{#- #}
