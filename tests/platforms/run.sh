#!/usr/bin/env bash
# `make platforms`: every release of Debian and every compiler that is supported, in a root of its own (debootstrap)
# with what `make deps` installs there: everything builds, units and the fuzz targets' corpus pass, a replay through
# a real Kafka ends as it should, with the same digests everywhere, too few threads are said (librdkafka's number of
# them differs), SCRAM works (with librdkafka 2.6.1 or later: at Kafka 4), and an unclean election is noticed (from 2.1
# on by leader epochs).
#   sudo make platforms [PLATFORMS="bookworm:gcc trixie:clang"] [ONLY=pattern]
# One line each; exit code 1 if one failed. Roots and builds stay in build/platforms (2 GB each): the first
# run takes some 10 minutes a release, a later one 2 minutes a platform. Root, for chroot and mounts.
source "$(dirname "$0")/../../scripts/lib.sh"
source "$(dirname "$0")/../../scripts/debian.sh"
PLATFORMS=${PLATFORMS:-bookworm:gcc bookworm:clang trixie:gcc trixie:clang}
ONLY=${ONLY:-tests/unit/|fuzz_replay/|e2e/(generated_stream|security|few_threads|unclean_election)}
HOME_DIR=$ROOT/build/platforms
((EUID == 0)) || { echo "error: make platforms needs root, for chroot and mounts" >&2; exit 2; }
mkdir -p "$HOME_DIR"
exec 7>"$HOME_DIR/.lock"
flock -n 7 || die "another test of platforms runs in this checkout"
"$ROOT/scripts/deps.sh" kafka kafka3 containers 7>&-

# The sources as they are here, beside what was built from older ones. What changed since the last copy is as of now:
# it may have been written before that copy was built.
copy_sources() {
    local file new=$1.new
    rm -rf "$new"
    mkdir -p "$1" "$new"
    tar -C "$ROOT" --exclude=./build --exclude=./.git -c . | tar -C "$new" -xm
    while read -r file; do
        cmp -s "$1/$file" "$new/$file" && touch -r "$1/$file" "$new/$file"
    done < <(cd "$new" && find . -type f)
    find "$1" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    cp -a "$new/." "$1"
    rm -rf "$new"
}
# within ROOT WORDS: a shell's words there, in a mount namespace that is gone when they end
within() {
    unshare --mount --pid --fork --kill-child bash -euc '
        mount --rbind /dev "$1/dev"
        mount -t proc proc "$1/proc"
        mount -t tmpfs tmpfs "$1/tmp"
        mkdir -p "$1/src/build/kafka" "$1/src/build/kafka3"
        mount --bind "$2/kafka" "$1/src/build/kafka"
        mount --bind "$2/kafka3" "$1/src/build/kafka3"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            chroot "$1" bash -euc "cd /src; $3"' - "$1" "$ROOT/build" "$2" 7>&-
}

try() { # try SUITE COMPILER
    local root=$HOME_DIR/$1 log=$HOME_DIR/$1-$2.log start=$SECONDS words
    [[ -d $root ]] || debian_root "$1" "$root" "$HOME_DIR/$1-debootstrap.log" || return 1
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    copy_sources "$root/src"
    say "$1, $2 ..."
    words="scripts/deps.sh packages kafka $([[ $2 != clang ]] || echo compilers)
        make check CC=$2 ONLY='$ONLY'
        echo \"platform debian \$(cat /etc/debian_version), \$($2 -dumpfullversion 2>/dev/null || $2 -dumpversion), librdkafka \$(pkg-config --modversion rdkafka)\""
    if within "$root" "$words" >"$log" 2>&1; then
        echo "ok $1 $2: $(sed -n "s/^platform //p" "$log" | sed "s/, /, $2 /"): $(grep -E '^[0-9]+ passed' "$log"), $((SECONDS - start)) s"
        sed -n 's/^ *note /    /p' "$log"
    else
        tail -n 40 "$log"
        echo "not ok $1 $2: $log"
        return 1
    fi
}

failed=0
for platform in $PLATFORMS; do
    try "${platform%:*}" "${platform#*:}" || failed=1
done

# The same replay has the same bits whatever the compiler and the C library.
same_digests() {
    local platform line first='' of=''
    for platform in $PLATFORMS; do
        line=$(grep -o 'note digests: .*' "$HOME_DIR/${platform/:/-}.log") || continue
        if [[ -z $first ]]; then
            first=$line of=$platform
        elif [[ $line != "$first" ]]; then
            echo "not ok digests of $platform: ${line#note digests: }; of $of: ${first#note digests: }"
            return 1
        fi
    done
    [[ -z $first ]] || echo "ok one replay, the same digests on all: ${first#note digests: }"
}
same_digests || failed=1
exit $failed
