set -e
tools=$HOME/.provision/{{ key | q }}
