#include "common/service/retry.h"

#include <poll.h>

#include "common/base/log.h"
#include "common/service/program.h"

enum { FIRST_MS = 250, MOST_MS = 5000 };

aa_status
aa_retry(const char *id, aa_retry_try attempt, void *arg, aa_err *err)
{
    int pause_ms = FIRST_MS;
    while (!aa_stop_requested()) {
        struct pollfd stop = {.fd = aa_stop_fd(), .events = POLLIN};
        aa_status     st = attempt(arg, err);
        if (st != AA_EIO) return st;
        aa_warn(id, "%s", err->text);
        poll(&stop, 1, pause_ms);
        pause_ms = pause_ms < MOST_MS / 2 ? pause_ms * 2 : MOST_MS;
    }
    return aa_fail(err, AA_EAGAIN, "asked to stop");
}
