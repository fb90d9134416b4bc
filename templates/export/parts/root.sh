become=; [ "$(id -u)" = 0 ] || become=sudo
