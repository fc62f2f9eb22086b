/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a peer keeps in its state directory (mode 0700):
 *   identity.json  broker, user, secret, fingerprint; mode 0600; written by `login`
 *   state.json     provided services and subscriptions; written by the daemon
 *   control.sock   the daemon's socket
 *   lock           held by the daemon
 */
#ifndef ISTHMUS_PEER_STORE_H
#define ISTHMUS_PEER_STORE_H

#include <jansson.h>
#include <stddef.h>

#include "../lib/msg.h"
#include "announce.h"

#define STORE_PATH_LEN	 96 /* a Unix socket's path ends at 107 */
#define STORE_FILE_LEN	 (STORE_PATH_LEN + 32)
#define STORE_SECRET_LEN 128

struct identity {
	char host[256], port[6];
	char user[NAME_LEN];
	char secret[STORE_SECRET_LEN];
	char fingerprint[MSG_FINGERPRINT_LEN];
};

/* dir: from --dir or NULL. $ISTHMUS_PEER_DIR, root: /var/lib/isthmus-peer,
 * $XDG_STATE_HOME/isthmus, ~/.local/state/isthmus. -ENAMETOOLONG, or -ENOENT without a home. */
int store_find(const char *dir, char path[STORE_PATH_LEN]);
int store_make(const char *path); /* the directory, and those above it */
void store_file(const char *path, const char *name, char file[STORE_FILE_LEN]);
int store_lock(const char *path); /* descriptor, or -EWOULDBLOCK if a daemon runs there */

int store_read_identity(const char *path, struct identity *identity); /* -ENOENT: no login yet */
int store_write_identity(const char *path, const struct identity *identity);
json_t *store_read_state(const char *path); /* NULL: none, or not readable (errno) */
int store_write_state(const char *path, json_t *state);

#endif
