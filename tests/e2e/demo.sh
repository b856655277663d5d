#!/usr/bin/env bash
# `make demo` with a file of one's own: it asks for IDs that exist wherever the columns stand, and fails
# when nothing was learned. It starts a Kafka of its own.
source "$(dirname "$0")/lib.bash"

demo() { # demo NAME [VARIABLE=value]...: its output is in WORK/NAME.log
    local name=$1
    shift
    env "$@" "$ROOT/scripts/demo.sh" >"$WORK/$name.log" 2>&1
}
says() { grep -qF -- "$2" "$WORK/$1.log" || { tail -n 30 "$WORK/$1.log"; return 1; }; }
ends_with() { # ends_with CODE NAME [VARIABLE=value]...
    local want=$1 code=0
    shift
    demo "$@" || code=$?
    equal "$code" "$want"
}

# Times in ms, names in quotes with a comma; the order is not user, item, label, time.
awk 'BEGIN {
    print "timestamp,item_id,user_id,rating"
    for (i = 0; i < 4000; i++)
        printf "%d,\"film, %d\",person %d,%d\n", 1588687728923 + i, i * 7 % 40, i * 3 % 50, i * i % 5 + 1
}' >"$WORK/order.csv"
must a_file_with_columns_in_another_order_runs demo order DATA="$WORK/order.csv" POSITIVE=3
check record_says_which_columns_it_took says order 'user = column 3 "user_id"'
check times_in_ms_are_no_dead_letters equal "$(jq '[.events, .dead_letters] | join(" ")' -r "$ROOT/build/demo/summary.json")" "4000 0"
check scores_are_asked_for_ids_of_the_stream says order "  person 3 "
check scores_are_asked_for_quoted_items_too says order "  film, 20 "

printf 'user,item,label,timestamp\nu,i,1,90000000000\nv,i,0,90000000001\n' >"$WORK/future.csv"
check a_stream_of_dead_letters_fails ends_with 1 future DATA="$WORK/future.csv"
check dead_letters_are_reported says future "2 of 2 events became dead letters"
check it_says_that_nothing_was_learned says future "nothing was learned"

check labels_of_one_class_are_refused_at_once ends_with 2 one DATA="$WORK/order.csv" POSITIVE=5
check a_file_that_could_be_read_in_two_ways_is_refused_at_once ends_with 2 two DATA="$WORK/order.csv" RECORD='--header no'
