/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-dns as a process of its own on the loopback device of a network namespace, an agent of
 * one-time addresses that does what it is told, and clients at any address of 127.0.0.0/8.
 */
#ifndef ISTHMUS_TEST_DNS_ONETIME_H
#define ISTHMUS_TEST_DNS_ONETIME_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "agents/lib/member.h"
#include "dns_fixture.h"

#define SSH "ssh.home.example.net"
#define SERVICES                                                                                   \
	"[{\"name\":\"ssh\",\"proto\":\"tcp\",\"families\":[\"6\"]},"                              \
	"{\"name\":\"both\",\"proto\":\"tcp\",\"families\":[\"4\",\"6\"]},"                        \
	"{\"name\":\"legacy\",\"proto\":\"tcp\",\"families\":[\"6\"]},"                            \
	"{\"name\":\"@\",\"proto\":\"udp\",\"families\":[\"6\"]}]"
#define OPTION_COOKIE 10 /* RFC 7873 */
#define AGENT	      "home.example.net"
#define LISTED	      "127.0.9.1"  /* --subnet-from */
#define CLIENT	      "127.0.8.1"  /* a resolver that is not */
#define INITIATOR     "127.0.10.1" /* --initiators */
#define GIVES_MAX     4096
#define SOON_MS	      5000
#define NEVER_MS      150
#define LOG_BYTES     4096

struct dns_agent {
	struct member *member;
	char services[1024]; /* as JSON */
	bool answers;	     /* everything at once, or refuses it */
	const char *error;
	json_t *give[GIVES_MAX]; /* not answered */
	unsigned int gives, given, proven, refused, logins;
};

extern struct dns_agent agent;
extern struct dns_reply *reply;

int world_start(void **state);
int world_end(void **state);
/* Around a test: an agent with SERVICES. */
int stub_start(void **state);
int stub_stop(void **state);
/* The agent enrols and logs in, once; services: JSON. */
void agent_start(const char *services);
void agent_stop(void);
void agent_services(const char *services);
/* Waits for one; a borrowed reference. NULL: none came. */
json_t *agent_next(void);
void agent_give(const json_t *give, const char *address);
void agent_refuse(const json_t *give, const char *error);
void server_restart(void);
void server_add_key(void);
long long server_count(const char *word); /* of members.gives */
long long server_memory(void);		  /* kB */
const char *server_list(void);		  /* what `onetime list` asks for: names */

/* ---- clients: UDP questions of a fixed port and number, unless they are told */
int client_open(const char *address, uint16_t port);
void client_send(int fd, const struct dns_question *question);
bool client_receive(int fd, int ms); /* into `reply` */
/* By TCP; false: closed, or nothing came. */
bool client_tcp(const char *address, const struct dns_question *question);
/* A cookie of the server's for that address, whole. */
void client_cookie(const char *address, uint8_t cookie[24]);
/* For SSH; whether it is answered with an address. */
bool client_ask_cookie(const char *address, const uint8_t cookie[24]);
bool client_ask_tcp(const char *address);
/* Asks by UDP; the agent is served while it waits. False: no answer. */
bool client_ask(const char *address, const char *name, uint16_t type);
const char *answers(void); /* of the last reply */
uint64_t client_ms(void);
void pass(int ms); /* the agent is served */

#endif
