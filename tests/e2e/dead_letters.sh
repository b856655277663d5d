#!/usr/bin/env bash
# Events that cannot be used go to the dead-letter topic, bytes untouched, with headers that say why
# and from where; the good ones among them count.
source "$(dirname "$0")/lib.bash"

init_run one event.label=as-is
printf 'user,item,label,timestamp\nu1,i1,1,1700000000\nu2,i2,0,1700000001\n' >"$WORK/good.csv"
record_file "$WORK/good.csv"

long_id=$(printf 'x%.0s' {1..300})
bad=('{"user":"u3","item":"i1"}'
    '{"user":"","item":"i1","label":1,"timestamp_ms":1700000002000}'
    "{\"user\":\"$long_id\",\"item\":\"i1\",\"label\":1,\"timestamp_ms\":1700000003000}"
    '{"user":"u4","item":"i1","label":"NaN","timestamp_ms":1700000004000}'
    '{"user":"u5","item":"i1","label":1,"timestamp_ms":99999999999999}'
    '{"user":"u6","item":"i1"'
    $'\xff\xfe\xfd not an event')
printf '%s\n' "${bad[@]}" '{"user":"u7","item":9,"label":1,"timestamp_ms":1700000005000}' |
    "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" 2

must replay_ends replay 60
check good_events_count equal "$(figure learner events)" 3

letters=$WORK/letters.json
"$TOPIC_TOOL" read "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq" >"$letters" || die "no dead letters"
check every_bad_event_is_a_dead_letter equal "$(wc -l <"$letters")" ${#bad[@]}
check bytes_are_untouched equal "$(jq -c .value "$letters" | sort)" \
    "$(printf '%s\n' "${bad[@]:0:6}" | jq -Rc . | { cat; echo '{"hex":"fffefd206e6f7420616e206576656e74"}'; } | sort)"
check headers_say_from_where equal \
    "$(jq -r '[.headers["autoassign.topic"], .headers["autoassign.partition"]] | join(" ")' "$letters" | sort -u)" "$TOPIC 2"
check headers_say_which_offset equal \
    "$(jq -r '.headers["autoassign.offset"]' "$letters" | sort -n | uniq | wc -l)" ${#bad[@]}
check headers_say_why equal "$(jq -r 'select(.headers["autoassign.reason"] // "" | length > 0) | 1' "$letters" | wc -l)" ${#bad[@]}
