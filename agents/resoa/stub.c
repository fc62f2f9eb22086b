// SPDX-License-Identifier: GPL-3.0-or-later
/* What has no file of its own yet: empty, and weak, so that the file replaces it. */
#include <errno.h>
#include <stdio.h>

#include "resoa.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma weak udp_open
#pragma weak udp_close
#pragma weak udp_registered
#pragma weak udp_writable
#pragma weak udp_end
#pragma weak option_gone
#pragma weak option_close
#pragma weak bind_open
#pragma weak bind_close
#pragma weak bind_lost
#pragma weak notify_close
#pragma weak control_registered
#pragma weak udp_event_bound
#pragma weak udp_message
#pragma weak option_event
#pragma weak option_message
#pragma weak option_send
#pragma weak gone_open
#pragma weak gone_close
#pragma weak bind_ask
#pragma weak bind_event
#pragma weak bind_gone
#pragma weak bind_message
#pragma weak bind_registered
#pragma weak notify_add
#pragma weak control_open
#pragma weak control_close
#pragma weak resoa_run
#pragma weak resoa_ask

int udp_open(struct resoa *resoa)
{
	return 0;
}

void udp_close(struct resoa *resoa)
{
}

void udp_registered(struct resoa *resoa)
{
}

void udp_end(struct rsock *rsock)
{
}

void udp_event_bound(struct resoa *resoa, const struct resoa_event *event)
{
}

void udp_message(struct rsock *rsock, const struct ep_message *message)
{
}

void option_event(struct resoa *resoa, const struct resoa_event *event)
{
}

void option_message(struct rsock *rsock, const struct ep_message *message)
{
}

void option_send(struct rsock *rsock)
{
}

int gone_open(struct resoa *resoa)
{
	return 0;
}

void gone_close(struct resoa *resoa)
{
}

void bind_ask(struct resoa *resoa, uint64_t cookie, const struct ep_name *name, bool both,
	      bind_done done, void *arg)
{
	done(resoa, 0, arg);
}

void bind_event(struct resoa *resoa, const struct resoa_event *event)
{
}

void bind_gone(struct resoa *resoa, uint64_t cookie)
{
}

void bind_message(struct rsock *rsock, const struct ep_message *message)
{
}

void bind_registered(struct resoa *resoa)
{
}

int notify_add(struct resoa *resoa, int listener)
{
	return -ENOSYS;
}

int control_open(struct resoa *resoa, char *error, size_t error_len)
{
	return 0;
}

void control_close(struct resoa *resoa)
{
}

void udp_writable(struct resoa *resoa)
{
}

void option_gone(struct resoa *resoa, uint64_t cookie)
{
}

void option_close(struct resoa *resoa)
{
}

int bind_open(struct resoa *resoa)
{
	return 0;
}

void bind_close(struct resoa *resoa)
{
}

void bind_lost(struct resoa *resoa)
{
}

void notify_close(struct resoa *resoa)
{
}

void control_registered(struct resoa *resoa)
{
}

int resoa_run(const struct settings *settings, char **words)
{
	fprintf(stderr, "isthmus-resoa: run is not made yet\n");
	return 1;
}

int resoa_ask(const struct settings *settings, int argc, char **argv)
{
	fprintf(stderr, "isthmus-resoa: %s is not made yet\n", argc ? argv[0] : "");
	return 1;
}
