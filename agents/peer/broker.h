/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one connection to the broker: login, keep-alive, reconnecting, and what goes over it. */
#ifndef ISTHMUS_PEER_BROKER_H
#define ISTHMUS_PEER_BROKER_H

#include <jansson.h>
#include <stdbool.h>

#include "../lib/msg.h"

struct broker;
struct peer;
struct service;

struct broker *broker_new(struct peer *peer);
void broker_free(struct broker *broker);
void broker_reload(struct broker *broker); /* the identity may have changed */
bool broker_is_ready(const struct broker *broker);
/* Logged in for a few seconds only: others may still be on their way back. */
bool broker_is_fresh(const struct broker *broker);

/* As msg_request(); -ENOTCONN while not logged in. */
int broker_request(struct broker *broker, json_t *message, unsigned int timeout_ms,
		   msg_answer answer, void *arg);
void broker_notice(struct broker *broker, json_t *message); /* dropped while not logged in */
/* error: NULL, or why the broker refused. */
typedef void (*broker_published)(const char *error, void *arg);
/* done may be NULL; it is not called if this fails. */
int broker_publish(struct broker *broker, const struct service *service, broker_published done,
		   void *arg);
void broker_unpublish(struct broker *broker, const char *service);
/* ["4", "6"]: families in which this host has a way to a translator. */
json_t *broker_families(const struct broker *broker, const struct peer *peer);
json_t *broker_json(const struct broker *broker);

#endif
