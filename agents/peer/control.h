/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon's Unix socket, DIR/control.sock, mode 0600; messages as in docs/protocol.md.
 *
 *   provide      service, proto, target, text?, pure?, limit?, allow?    published: bool
 *   unprovide    service
 *   services     match?                                                  services: as `list`
 *   subscribe    user, service, proto?, port, bind?                      proto, port
 *   unsubscribe  user, service
 *   status                                                               broker, counts
 *   items        what: services/subscriptions/sessions, offset           items, more: bool
 *   reload                                                               the identity is read again
 */
#ifndef ISTHMUS_PEER_CONTROL_H
#define ISTHMUS_PEER_CONTROL_H

#include <stddef.h>

#define CONTROL_SOCKET "control.sock"

struct msg_listener;
struct peer;

struct msg_listener *control_listen(struct peer *peer, char *error, size_t error_len);

#endif
