#!/usr/bin/env bash
# Two scorers behind nginx with its default rules are restarted in turn under load: every answer is 200. nginx
# tries another server when one refuses its connection, but sends no POST twice: so a scorer that stops has to
# answer whatever it accepted, and to accept nothing that it does not answer.
source "$(dirname "$0")/lib.bash"
EVENTS=20000 ROUNDS=2
NGINX=$(type -P nginx || echo "$ROOT/build/nginx/usr/sbin/nginx")
[[ -x $NGINX ]] || { skip rolling_restart: there is no nginx; exit 0; }

"$PIPELINE_BIN/generate" --events $EVENTS --users 300 --items 100 --seed 41 >"$WORK/stream.csv"
init_run one
record_file "$WORK/stream.csv"
pipeline_start assigner learner ingest
pipeline_wait_end 90 || die "the replay failed"

declare -A SCORER=() PORT=([1]=$(free_port) [2]=$(free_port))
FRONT=$(free_port)
start_scorer() {
    (cd "$PIPELINE_DIR" && exec setpriv --pdeathsig TERM "$PIPELINE_BIN/scorer" "${PIPELINE_ARGS[@]}" -o scorer.linger_ms=500 \
        -o "scorer.listen=ipc://score-$1.ipc" -o "http.scorer_port=${PORT[$1]}" -o pipeline.summary_dir=) >>"$PIPELINE_DIR/scorer-$1.log" 2>&1 </dev/null &
    SCORER[$1]=$!
}
scorer_ready() { curl -sf --max-time 2 "http://127.0.0.1:${PORT[$1]}/readyz" >/dev/null; }
stop_all() {
    touch "$WORK/enough"
    for n in "${!SCORER[@]}"; do kill -KILL "${SCORER[$n]}" 2>/dev/null || true; done
    [[ -z ${FRONT_PID:-} ]] || kill -TERM "$FRONT_PID" 2>/dev/null || true
}
trap 'stop_all; cleanup' EXIT
for n in 1 2; do
    start_scorer $n
    must "scorer_${n}_is_ready" wait_until 30 scorer_ready $n
done

mkdir -p "$WORK/nginx"
cat >"$WORK/nginx/nginx.conf" <<EOF
daemon off;
worker_processes 1;
pid $WORK/nginx/pid;
error_log $WORK/nginx/error.log;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $WORK/nginx/body; proxy_temp_path $WORK/nginx/proxy; fastcgi_temp_path $WORK/nginx/fastcgi;
    uwsgi_temp_path $WORK/nginx/uwsgi; scgi_temp_path $WORK/nginx/scgi;
    upstream scorers { server 127.0.0.1:${PORT[1]}; server 127.0.0.1:${PORT[2]}; }
    server { listen 127.0.0.1:$FRONT; location / { proxy_pass http://scorers; } }
}
EOF
setpriv --pdeathsig TERM "$NGINX" -p "$WORK/nginx" -c "$WORK/nginx/nginx.conf" -e "$WORK/nginx/error.log" >"$WORK/nginx/log" 2>&1 &
FRONT_PID=$!
front_ready() { curl -sf --max-time 2 "http://127.0.0.1:$FRONT/readyz" >/dev/null; }
must nginx_passes_requests_on wait_until 20 front_ready

# The load: eight clients with connections that they keep, and a count of each kind of answer.
python3 - "$FRONT" "$WORK/enough" >"$WORK/answers" <<'EOF' &
import collections, http.client, os, sys, threading
port, enough = int(sys.argv[1]), sys.argv[2]
answers = collections.Counter()
def ask():
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while not os.path.exists(enough):
        try:
            c.request("POST", "/v1/score", '{"user":"1","items":["1","2","3"]}', {"Content-Type": "application/json"})
            r = c.getresponse()
            text = r.read().decode()
            answers[str(r.status) if r.status == 200 else f"{r.status} {text[:60]!r}"] += 1
        except Exception as e:
            answers[type(e).__name__] += 1
            c.close()
threads = [threading.Thread(target=ask) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
for answer, n in answers.most_common(): print(n, answer)
EOF
LOAD=$!

# nginx leaves a server alone for 10 s (fail_timeout) after it was refused there; then it is asked again.
is_asked() { at_least "$(curl -sf "http://127.0.0.1:${PORT[$1]}/metrics" | metric autoassign_scorer_requests_total)" 10 >/dev/null 2>&1; }
restart() { # stop, start, wait until it is ready and has its share of the load
    local code=0
    kill -TERM "${SCORER[$1]}"
    wait "${SCORER[$1]}" || code=$?
    start_scorer "$1"
    wait_until 30 scorer_ready "$1" && wait_until 30 is_asked "$1" && return $code
}
for ((round = 1; round <= ROUNDS; round++)); do
    for n in 1 2; do check "round_${round}_restarts_scorer_$n" restart $n; done
done
touch "$WORK/enough"
wait $LOAD || not_ok the_load_ends
echo "note answers: $(paste -sd, "$WORK/answers")"
only_200() { [[ $(wc -l <"$WORK/answers") == 1 ]] && grep -qE '^[0-9]+ 200$' "$WORK/answers"; }
check every_answer_is_200 only_200
check many_were_given at_least "$(awk '$2 == 200 { print $1 }' "$WORK/answers")" 500
