#!/usr/bin/env bash
# `make image-test`: builds the image of compose/Dockerfile and runs compose/docker-compose.yaml for real, by podman:
# every option of the processes' containers (user, read-only root, capabilities, limits, volume, health checks,
# restart policy, names on a network of their own), Prometheus' configuration, drain, crash, restart, upgrade.
#   sudo make image-test [BASE=IMAGE] [COMPOSE=docker-compose]
# BASE     a Debian 13 image that podman can pull; without it debootstrap makes one (once)
# COMPOSE  the command that reads the file; `docker compose` if there is one, else docker-compose
# No image registry is needed: Kafka and Prometheus come from stand-ins (tests/image/Dockerfile); Grafana is left out.
# Root, for podman's networks. All that podman keeps is in build/image (clean: `make clean`): containers, images and
# networks of this machine are not touched; netavark leaves its empty iptables chains.
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
((EUID == 0)) || { echo "error: make image-test needs root: podman makes networks, debootstrap a system" >&2; exit 2; }
"$ROOT/scripts/deps.sh" packages kafka containers || exit 1
AUTOASSIGN_TEST_BROKER=in-a-container
source "$(dirname "$0")/../e2e/lib.bash"
source "$ROOT/scripts/debian.sh"

HOME_DIR=$ROOT/build/image
SOCKET=$WORK/podman.sock
PROJECT=aa$$
EVENTS=20000 # of each of the four parts
PROCESSES=(ingest assigner learner scorer)
SERVICES=(kafka topics "${PROCESSES[@]}" prometheus)
export IMAGES=localhost/autoassign-test KAFKA_LIBS=$ROOT/build/kafka/libs DOCKER_HOST=unix://$SOCKET
# podman asks systemd to run health checks, which is not there in every container or virtual machine: we do it.
export DISABLE_HC_SYSTEMD=true CONTAINERS_CONF=$WORK/containers.conf
if [[ -z ${COMPOSE:-} ]]; then
    COMPOSE=docker-compose
    if docker compose version >/dev/null 2>&1; then COMPOSE="docker compose"; fi
fi
read -ra COMPOSE_COMMAND <<<"$COMPOSE"

PODMAN=(podman --root "$HOME_DIR/storage" --runroot "$HOME_DIR/run")
podman() { command "${PODMAN[@]}" "$@"; }
compose() {
    "${COMPOSE_COMMAND[@]}" -p "$PROJECT" -f "$ROOT/compose/docker-compose.yaml" -f "$ROOT/tests/image/override.yaml" "$@"
}
composed() { compose "$@" >"$WORK/compose.log" 2>&1 || { tail -n 20 "$WORK/compose.log"; return 1; }; } # without a word if it went well
container() { # its id, by the service's name
    podman ps -aq --filter "label=com.docker.compose.project=$PROJECT" --filter "label=com.docker.compose.service=$1"
}
within() { local name=$1; shift; podman exec "$(container "$name")" "$@"; } # within SERVICE COMMAND...
state() { podman inspect --format "{{.State.$2}}" "$(container "$1")"; } # state SERVICE KEY
metrics_of() { within "$1" curl -sf --max-time 2 http://127.0.0.1:8080/metrics; }

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    if ((code || failures)) && [[ -S $SOCKET ]]; then
        for name in "${SERVICES[@]}"; do
            podman logs "$(container "$name")" >"$WORK/$name.log" 2>&1 || true
        done
    fi
    [[ ! -S $SOCKET ]] || compose down -v -t 5 >>"$WORK/down.log" 2>&1 || warn "down failed: $WORK/down.log"
    stop_pid "${HEALTH_PID:-0}" 10
    stop_pid "${SERVICE_PID:-0}" 10
    ! mountpoint -q "$HOME_DIR/storage/overlay" || umount "$HOME_DIR/storage/overlay" || true # podman leaves it: `make clean` could not
    cleanup "$code"
}

# Fixed limits, because podman's own are above what a machine without CAP_SYS_RESOURCE may set; runc, because crun
# does not take cgroups of both versions side by side.
write_settings() {
    mkdir -p "$HOME_DIR/networks"
    cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$HOME_DIR/networks"
END
}

# A Debian 13 image from the mirror that apt uses here.
make_base() {
    BASE=localhost/autoassign-base:trixie
    ! podman image exists "$BASE" || return 0
    debian_root trixie "$WORK/base" "$HOME_DIR/debootstrap.log" &&
        tar -C "$WORK/base" -c . | podman import - "$BASE" >>"$HOME_DIR/debootstrap.log" 2>&1 ||
        { tail -n 5 "$HOME_DIR/debootstrap.log"; return 1; }
    rm -rf "$WORK/base"
}
build_image() { # build_image NAME ARGUMENT...
    local name=$1 log=$HOME_DIR/build${1##*test}.log
    shift
    say "building $name"
    podman build --network host --build-arg "BASE=$BASE" -t "$name" "$@" >"$log" 2>&1 || { tail -n 15 "$log"; return 1; }
}

start_podman() {
    setpriv --pdeathsig TERM "${PODMAN[@]}" system service --time=0 "unix://$SOCKET" \
        >"$WORK/podman.log" 2>&1 </dev/null 7>&- &
    SERVICE_PID=$!
    wait_until 20 curl -sf --unix-socket "$SOCKET" -o /dev/null http://d/_ping || return 1
    (
        while sleep 2; do
            for id in $(podman ps -q); do podman healthcheck run "$id" >/dev/null 2>&1 || true; done
        done
    ) 7>&- &
    HEALTH_PID=$!
}

# ---- build ----
trap finish EXIT
mkdir -p "$HOME_DIR"
exec 7>"$HOME_DIR/.lock"
flock -n 7 || die "another image test runs in this checkout"
SCORER_PORT=$(free_port) PROMETHEUS_PORT=$(free_port)
export SCORER_PORT PROMETHEUS_PORT
write_settings
for what in "rm -a" "volume prune" "network prune"; do # what a run that was killed has left
    read -ra words <<<"$what"
    podman "${words[@]}" -f >/dev/null || die "podman cannot use $HOME_DIR; remove it"
done
[[ -n ${BASE:-} ]] || must a_base_image make_base
must the_image_builds build_image "$IMAGES" -f "$ROOT/compose/Dockerfile" "$ROOT"
for name in kafka prometheus; do
    must "the_stand-in_for_${name}_builds" build_image "$IMAGES-$name" --target $name -f "$ROOT/tests/image/Dockerfile" "$ROOT/tests/image"
done
echo "image: $(podman image inspect --format '{{.Size}}' "$IMAGES") bytes, of which $(podman image inspect --format '{{.Size}}' "$BASE") are Debian"

config_is_clean() { # not a word of warning
    compose config --quiet >"$WORK/said" 2>&1 && [[ ! -s $WORK/said ]] || { cat "$WORK/said"; return 1; }
}
check compose_takes_the_file_as_it_is config_is_clean

# ---- up ----
must podman_serves start_podman
brought_up() { composed up -d --no-build "${SERVICES[@]}"; }
echo "compose: $("${COMPOSE_COMMAND[@]}" version 2>&1 | head -n 1)"
must compose_brings_it_up brought_up
check topics_were_made_and_it_ended_well equal "$(state topics ExitCode)" 0
healthy() { equal "$(state "$1" Health.Status)" healthy >/dev/null; }
for name in kafka "${PROCESSES[@]}" prometheus; do must "health_check_of_$name" wait_until 90 healthy "$name"; done
confined() { # confined SERVICE: what the file says of user, capabilities, root and memory is so inside
    local limit
    limit=$(podman inspect --format '{{.HostConfig.Memory}}' "$(container "$1")")
    within "$1" sh -ec '
        test "$(id -u)" = 10001
        grep -q "^CapEff:[[:space:]]*0*$" /proc/1/status && grep -q "^CapBnd:[[:space:]]*0*$" /proc/1/status
        grep -q "^NoNewPrivs:[[:space:]]*1$" /proc/1/status
        ! touch /usr/bin/x 2>/dev/null && touch /tmp/x
        test "$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max)" = "$0"' "$limit"
}
for name in "${PROCESSES[@]}"; do check "${name}_runs_confined" confined "$name"; done

# ---- a stream, scores ----
generate() { within ingest sh -c "autoassign generate --events $((4 * EVENTS)) --users 500 --items 200 --seed 5 >/tmp/all.csv"; } # its /tmp goes with it
generate
record_part() { # record_part 1|2|3|4
    within ingest sh -c "tail -n +2 /tmp/all.csv | sed -n '$((($1 - 1) * EVENTS + 1)),$(($1 * EVENTS))p' >/tmp/part.csv &&
        autoassign record -c /etc/autoassign/autoassign.yaml -o kafka.bootstrap.servers=kafka:9092 /tmp/part.csv" \
        >"$WORK/record.log" 2>&1 || { cat "$WORK/record.log"; return 1; }
}
learned() { # learned EVENTS: the scorer's model has learned from so many; it says so when there are more
    [[ $(metrics_of scorer | metric autoassign_scorer_model_events) == "$1" ]]
}
must a_stream_is_recorded record_part 1
must it_is_learned_and_the_scorer_has_it wait_until 60 learned $EVENTS
asked() {
    curl -sf --max-time 5 "http://127.0.0.1:$SCORER_PORT/v1/score" -d '{"user": "1", "items": ["1", "2", "nobody"]}' >"$WORK/score.json" &&
        equal "$(jq '.scores | map(select(. > 0 and . < 1)) | length' "$WORK/score.json")" 3
}
check scores_come_back_at_the_published_port asked
targets_up() {
    curl -sf "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/targets" |
        jq -r '.data.activeTargets[] | select(.health == "up" and .labels.job == "autoassign").labels.process' | sort |
        cmp -s - <(printf '%s\n' "${PROCESSES[@]}" | sort)
}
check prometheus_finds_all_by_name wait_until 60 targets_up
rules_evaluate() {
    curl -sf "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/rules" |
        jq -e '[.data.groups[].rules[].health] | length >= 9 and all(. == "ok")' >/dev/null
}
check its_alerts_evaluate wait_until 60 rules_evaluate

# ---- SIGTERM, start again ----
must ingest_is_stopped composed stop ingest
check it_drained_and_ended_with_0 equal "$(state ingest ExitCode)" 0
said() { podman logs "$(container "$1")" 2>&1 | tail -n +"${3:-1}" | grep -q "$2"; } # said SERVICE PATTERN [FROM_LINE]
check and_said_so said ingest '"id":"FINAL"'
lines=$(podman logs "$(container ingest)" 2>&1 | wc -l)
must ingest_starts_again composed start ingest
check it_goes_on_from_its_commit wait_until 60 said ingest '"id":"RUN-OPEN".*"epoch":[1-9]' $((lines + 1))
generate
must more_is_recorded record_part 2
check every_event_counts_once wait_until 60 learned $((2 * EVENTS))

# ---- a crash ----
restarted() { equal "$(podman inspect --format '{{.RestartCount}}' "$(container "$1")")" 1 >/dev/null; }
kill -KILL "$(state learner Pid)"
check the_restart_policy_brings_a_killed_learner_back wait_until 60 restarted learner
must the_rest_is_recorded record_part 3
check every_event_still_counts_once wait_until 90 learned $((3 * EVENTS))

# ---- all down, and up anew as after an upgrade: only the volumes stay. Now with a fetcher. ----
check all_processes_stop composed stop "${PROCESSES[@]}"
for name in "${PROCESSES[@]}"; do check "${name}_ended_with_0" equal "$(state "$name" ExitCode)" 0; done
gave_up() { said ingest '"id":"DRAIN"'; }
not() { ! "$@"; }
check ingest_drained_while_the_others_were_there not gave_up
must the_containers_are_removed composed down
SERVICES+=(fetcher) PROCESSES+=(fetcher)
export COMPOSE_PROFILES=fetchers FETCHERS=tcp://0.0.0.0:5705
must compose_brings_new_ones_up brought_up
check a_new_ingest_goes_on_from_the_commit wait_until 60 said ingest '"id":"RUN-OPEN".*"epoch":[1-9]'
check a_new_scorer_has_the_whole_model wait_until 60 learned $((3 * EVENTS))
check and_scores asked
check the_fetcher_is_healthy wait_until 60 healthy fetcher
generate
must a_last_part_is_recorded record_part 4
check what_a_fetcher_reads_counts_once_too wait_until 60 learned $((4 * EVENTS))
check prometheus_finds_the_fetcher_too wait_until 60 targets_up
