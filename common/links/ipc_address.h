/* common/links/ipc_address - is an ipc:// address free?
 *
 * libzmq unlinks whatever file is at an ipc:// address and binds a socket in its place, so a second
 * process would take the address from the first without an error at either end, and a path of
 * another file would cost that file.
 */
#ifndef AA_COMMON_LINKS_IPC_ADDRESS_H
#define AA_COMMON_LINKS_IPC_ADDRESS_H

#include "common/base/status.h"

/** A file at the address that is no socket is not ours to delete. Nothing there is well.
 *  @errors AA_ECONFIG there is one */
aa_status aa_ipc_address_is_socket(const char *endpoint, aa_err *err)
    __attribute__((warn_unused_result));
/** Before binding: does a process listen there? Addresses other than ipc:// are not looked at.
 *  @errors AA_EIO one does; the text says which; AA_ECONFIG aa_ipc_address_is_socket */
aa_status aa_ipc_address_check(const char *endpoint, aa_err *err)
    __attribute__((warn_unused_result));

#endif
