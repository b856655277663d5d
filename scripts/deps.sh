#!/usr/bin/env bash
# Installs what building, testing and running here need, when it is missing:
#   scripts/deps.sh [packages] [kafka] [kafka3] [prometheus] [nginx] [containers] [venv] [fuzz] [compilers] [gates]
#                                                         (the first two unless named)
# packages: Debian packages, through apt-get (as root, or with sudo)
# kafka:    the jars of Apache Kafka, through Maven, into build/kafka/libs
# kafka3:   those of its last version 3, for the test of SCRAM, into build/kafka3/libs
# prometheus: Debian's Prometheus and promtool, unpacked into build/prometheus: nothing is started
# nginx:    Debian's nginx, unpacked into build/nginx: nothing is started
# containers: podman and debootstrap (make image-test)
# venv:     what python3 -m venv needs (make opponents)
# fuzz:     clang and its libFuzzer, for `make fuzz` only
# compilers: clang, for CC=clang
# gates:    clang; clang-format, clang-tidy and shellcheck, of Debian 12's versions: others lay out and find differently
# A second run finds everything there and is done at once, without a network.
source "$(dirname "$0")/lib.sh"

BUILD_PACKAGES=(gcc libc6-dev make pkg-config librdkafka-dev libzmq3-dev libprotobuf-c-dev
    protobuf-c-compiler libcmocka-dev libyaml-dev libmicrohttpd-dev libjansson-dev
    libxxhash-dev zlib1g-dev libcurl4-openssl-dev jq curl gnuplot-nox python3 python3-yaml python3-numpy
    python3-xxhash docker-compose)
LIBS=$ROOT/build/kafka/libs
POM=$ROOT/scripts/kafka/pom.xml

installed() { # a package, or another that stands in for it (gnuplot-qt for gnuplot-nox)
    case $1 in
    gnuplot-nox) command -v gnuplot >/dev/null ;;
    python3) command -v python3 >/dev/null ;;
    python3-yaml) python3 -c 'import yaml' 2>/dev/null ;;
    python3-numpy | python3-xxhash) python_has "${1#python3-}" ;;
    docker-compose) command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 ;;
    default-jre-headless) java_is_17 ;;
    maven) command -v mvn >/dev/null ;;
    *) [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]] ;;
    esac
}
python_has() { python3 -c "import $1" 2>/dev/null || /usr/bin/python3 -c "import $1" 2>/dev/null; } # the first may be another than Debian's
java_is_17() { # or later: Kafka 4 needs it
    local v
    v=$(java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p') || return 1
    [[ -n $v ]] && ((v >= 17))
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

install_missing() { # install_missing PACKAGE...
    local missing=() p
    for p in "$@"; do installed "$p" || missing+=("$p"); done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "not a Debian machine (no apt-get). Install what these packages hold, then run again: ${missing[*]}"
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "these packages are missing: ${missing[*]}
Install them as root, then run this again:
    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    say "installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    mkdir -p "$ROOT/build"
    local log=$ROOT/build/apt.log
    { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2; die "apt-get failed (its output: $log)"; }
}

packages() {
    if ! command -v dpkg-query >/dev/null; then # another distribution: judge by what is there
        command -v gcc make pkg-config protoc-c jq curl gnuplot >/dev/null &&
            pkg-config --exists rdkafka libzmq libprotobuf-c cmocka yaml-0.1 \
                libmicrohttpd jansson libxxhash zlib libcurl && return 0
    fi
    install_missing "${BUILD_PACKAGES[@]}"
}

fetch_kafka() { # fetch_kafka FOLDER [MAVEN_FLAG]
    local libs=$1 stamp=$1/.complete want log=$ROOT/build/maven.log
    want=$({ cat "$POM"; echo "${@:2}"; } | cksum)
    install_missing default-jre-headless
    [[ -r $stamp && $(cat "$stamp") == "$want" ]] && return 0
    install_missing maven
    say "fetching Apache Kafka's jars with Maven (44 MB)"
    rm -rf "$libs.part"
    mkdir -p "$libs.part"
    mvn -q -B -f "$POM" -Dlibs="$libs.part" "${@:2}" dependency:copy-dependencies >"$log" 2>&1 ||
        { tail -n 15 "$log" >&2; die "Maven failed (its output: $log)"; }
    echo "$want" >"$libs.part/.complete"
    rm -rf "$libs"
    mv "$libs.part" "$libs"
}
kafka() { fetch_kafka "$LIBS"; }
# librdkafka before 2.6.1 (Debian 12 has 2.0.2) cannot authenticate by SCRAM at Kafka 4, which is stricter than
# its predecessors (confluentinc/librdkafka#4895): that test runs against the last Kafka 3.
kafka3() { fetch_kafka "$ROOT/build/kafka3/libs" -Dkafka.version=3.9.1; }

compilers() { install_missing clang; }

fuzz() {
    install_missing clang libclang-rt-14-dev
}

# Unpacked, not installed: these packages would start a service. Their programs need nothing but libc.
unpack_package() { # unpack_package PACKAGE: into build/PACKAGE
    local dir=$ROOT/build/$1 log=$ROOT/build/apt.log
    command -v apt-get >/dev/null || { warn "no apt-get: tests that need $1 are left out"; return 0; }
    say "fetching Debian's $1"
    rm -rf "$dir.part"
    mkdir -p "$dir.part"
    (
        cd "$dir.part"
        apt-get download "$1" || { as_root apt-get update && apt-get download "$1"; }
        dpkg-deb -x "$1"_*.deb . && rm "$1"_*.deb
    ) >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "fetching it failed (apt's output: $log)"; }
    rm -rf "$dir"
    mv "$dir.part" "$dir"
}
prometheus() {
    if type -P prometheus promtool >/dev/null || [[ -x $ROOT/build/prometheus/usr/bin/promtool ]]; then return 0; fi
    unpack_package prometheus
}
nginx() {
    if type -P nginx >/dev/null || [[ -x $ROOT/build/nginx/usr/sbin/nginx ]]; then return 0; fi
    unpack_package nginx
}

containers() { install_missing podman netavark aardvark-dns iptables runc debootstrap; }

gates() {
    if ! type -P clang-format-14 clang-tidy-14 >/dev/null; then
        [[ $(. /etc/os-release && echo "$ID $VERSION_ID") == "debian 12" ]] ||
            die "the gates need clang-format-14 and clang-tidy-14, as Debian 12 has them; other versions lay out and find differently"
        install_missing clang-format-14 clang-tidy-14
    fi
    install_missing shellcheck clang
    [[ $(shellcheck --version) == *"version: 0.9."* ]] ||
        die "the gates need shellcheck 0.9, as Debian 12 has it; here is $(shellcheck --version | sed -n 's/^version: //p')"
}

venv() { install_missing python3-venv; }

(($#)) || set -- packages kafka
mkdir -p "$ROOT/build"
exec 9>"$ROOT/build/.deps.lock"
flock 9 # two makes side by side: one installs, the other waits and finds it done
for part in "$@"; do
    case $part in
    packages | kafka | kafka3 | prometheus | nginx | containers | venv | fuzz | compilers | gates) "$part" ;;
    *) die -2 "usage: scripts/deps.sh [packages] [kafka] [kafka3] [prometheus] [nginx] [containers] [venv] [fuzz] [compilers] [gates]" ;;
    esac
done
