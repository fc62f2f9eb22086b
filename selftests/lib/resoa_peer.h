/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of resoa_peer share. */
#ifndef ISTHMUS_SELFTESTS_RESOA_PEER_H
#define ISTHMUS_SELFTESTS_RESOA_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define WAIT_MS	 2000
#define QUIET_MS 200
#define LONG_MS	 9000

/* A word, and what does it; a word of NULL is the last. */
struct peer_command {
	const char *name;
	void (*run)(const char *args);
};

extern const struct peer_command peer_tcp[], peer_udp[];
extern int control;
extern uint8_t buffer[70000];

void answer(const char *format, ...) __attribute__((format(printf, 1, 2)));
void answer_errno(void);
void answer_result(long result);
void answer_bytes(const char *before, const uint8_t *bytes, long len);
bool comes(int fd, short events, int wait_ms);
socklen_t name_of(const char *address, int port, struct sockaddr_storage *name);
const char *text_of(const struct sockaddr_storage *name); /* ADDRESS PORT */
int local_port(int fd);
/* A socket bound to any address; -1 and errno. */
int bound(int family, int type, int port);

#endif
