#include "common/links/ipc_address.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <asm/socket.h> /* SO_PEERCRED */

/* struct ucred, which is GNU's */
typedef struct {
    int32_t  pid;
    uint32_t uid, gid;
} peer_credentials;

/* The process that listens at the address; -1: none does, 0: not known who. */
static int
listener_at(const struct sockaddr_un *sa)
{
    peer_credentials who = {0};
    socklen_t        len = sizeof who;
    int              pid = -1;
    const int        fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return -1; /* binding will say what is wrong */
    if (connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0)
        pid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.pid : 0;
    close(fd);
    return pid;
}

/* The path of an ipc:// address; empty: it has none. */
static const char *
path_of(const char *endpoint)
{
    const char *path = strncmp(endpoint, "ipc://", 6) == 0 ? endpoint + 6 : "";
    return *path == '@' || *path == '*' ? "" : path;
}

aa_status
aa_ipc_address_is_socket(const char *endpoint, aa_err *err)
{
    struct stat what;
    const char *path = path_of(endpoint);
    if (!*path || lstat(path, &what) != 0 || S_ISSOCK(what.st_mode)) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "%s: there is a file of this name, and it is no socket",
                   endpoint);
}

/* Whoever has just ended may leave its socket to a snapshot's child, or to libzmq's own thread, for
 * a moment. */
aa_status
aa_ipc_address_check(const char *endpoint, aa_err *err)
{
    enum { TRIES = 60 };
    const struct timespec pause = {.tv_nsec = 50 * 1000000L};
    struct sockaddr_un    sa = {.sun_family = AF_UNIX};
    const char           *path = path_of(endpoint);
    int                   pid = -1;
    aa_status             st = aa_ipc_address_is_socket(endpoint, err);
    if (st != AA_OK || !*path || strlen(path) >= sizeof sa.sun_path) return st;
    memcpy(sa.sun_path, path, strlen(path));
    for (int i = 0; i < TRIES; i++) {
        pid = listener_at(&sa);
        if (pid < 0 || (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)) return AA_OK;
        nanosleep(&pause, NULL);
    }
    return aa_fail(err, AA_EIO, "cannot bind %s: in use by pid %d", endpoint, pid);
}
