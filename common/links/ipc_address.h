/* common/links/ipc_address - is an ipc:// address free?
 *
 * libzmq unlinks the socket file of an ipc:// address and binds another in its place, so a second
 * process would take the address from the first without an error at either end.
 */
#ifndef AA_COMMON_LINKS_IPC_ADDRESS_H
#define AA_COMMON_LINKS_IPC_ADDRESS_H

#include "common/base/status.h"

/** Before binding: does a process listen there? Addresses other than ipc:// are not looked at.
 *  @errors AA_EIO one does; the text says which */
aa_status aa_ipc_address_check(const char *endpoint, aa_err *err)
    __attribute__((warn_unused_result));

#endif
