# shellcheck shell=bash
# A Debian of its own in a folder, for tests of other releases and of the image. Sourced after lib.sh; as root.

# debian_root SUITE DIR LOG: made by debootstrap from the mirror that apt uses here
debian_root() {
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
    say "making a Debian ($1) with debootstrap"
    rm -rf "$2.part"
    mkdir -p "$(dirname "$2")"
    debootstrap --variant=minbase "$1" "$2.part" "${mirror%/}" >"$3" 2>&1 || { tail -n 5 "$3"; return 1; }
    mv "$2.part" "$2"
}
