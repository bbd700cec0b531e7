# Sourced: apt_install PACKAGE... installs Debian or Ubuntu packages as root or by sudo, else says what is missing.
apt_install() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "setup: this machine has no apt-get; install what these Debian packages hold: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n)
        if ! "${as_root[@]}" true 2>/dev/null; then
            echo "setup: needs root once: sudo apt-get install $*" >&2
            return 1
        fi
    fi
    echo "setup: installing $*" >&2
    "${as_root[@]}" apt-get update -qq >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
