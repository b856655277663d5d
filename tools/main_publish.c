/* publish - an operator's word about publication: hold it back, resume it, or leave it to the guard.
 *
 * Needs publish.hold in the configuration. The word is a file beside the learner's checkpoints; the
 * learner reads it every publish.every_ms. Run it where the learner's checkpoints are, as its user.
 */
#include <stdbool.h>
#include <stdio.h>

#include "common/service/tool.h"
#include "common/state/holdfile.h"

static const char usage_text[] =
    "publish - hold back or resume the publication of the model\n"
    "\n"
    "usage: publish [option]... --status | --hold | --resume | --auto\n"
    "  -c FILE                  the pipeline's configuration\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --status                 the word that stands, and what the learner does\n"
    "  --hold                   publish nothing until another word\n"
    "  --resume                 publish, whatever the guard measures, until another word\n"
    "  --auto                   the guard decides (publish.hold_*); also without any word\n"
    "  --help, --version\n"
    "\n"
    "Run it where the learner's checkpoints are, as the learner's user. The learner takes the "
    "word\n"
    "within publish.every_ms, the assigner a moment later. A word outlives restarts.\n"
    "Exit codes: 0 done, 1 the file cannot be written or read, 2 usage or configuration.\n";

typedef struct {
    bool status, hold, resume, automatic;
} wish;

static aa_status
check_wish(void *arg, aa_tool_args none, bool *done, aa_err *err)
{
    const wish *ws = arg;
    (void)none;
    (void)done;
    if (ws->status + ws->hold + ws->resume + ws->automatic == 1) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "one of --status, --hold, --resume, --auto is needed");
}

static aa_status
print_status(const aa_conf *cfg, aa_err *err)
{
    aa_hold_word  word;
    aa_hold_state hs;
    bool          known;
    aa_status     st = aa_hold_word_read(cfg, &word, err);
    if (st == AA_OK) st = aa_hold_state_read(cfg, &hs, &known, err);
    if (st != AA_OK) return st;
    printf("word      %s\n", aa_hold_word_text(word));
    printf("learner   %s\n", !known    ? "has not run with publish.hold"
                             : hs.held ? "holds back"
                                       : "publishes");
    if (known) printf("reason    %s\n", hs.why[0] ? hs.why : "-");
    if (known) printf("guard     %s\n", hs.bad ? "out of the band" : "in the band");
    return AA_OK;
}

static aa_status
say_word(void *arg, const aa_conf *cfg, aa_tool_args none, aa_err *err)
{
    const wish *ws = arg;
    (void)none;
    if (!cfg->publish.hold)
        return aa_fail(err, AA_ECONFIG, "publish.hold: is off: the learner takes no word");
    if (ws->status) return print_status(cfg, err);
    const aa_hold_word word = ws->hold ? AA_HOLD_HOLD : ws->resume ? AA_HOLD_RESUME : AA_HOLD_AUTO;
    aa_status          st = aa_hold_word_write(cfg, word, err);
    if (st == AA_OK) printf("the word is %s\n", aa_hold_word_text(word));
    return st;
}

int
main(int argc, char **argv)
{
    wish                 ws = {0};
    const aa_tool_option own[] = {{.name = "status", .flag = &ws.status},
                                  {.name = "hold", .flag = &ws.hold},
                                  {.name = "resume", .flag = &ws.resume},
                                  {.name = "auto", .flag = &ws.automatic}};
    const aa_tool        tool = {.name = "publish",
                                 .usage = usage_text,
                                 .options = own,
                                 .option_count = sizeof own / sizeof *own,
                                 .prepare = check_wish,
                                 .run = say_word,
                                 .arg = &ws};
    return aa_tool_main(&tool, argc, argv);
}
