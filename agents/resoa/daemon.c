// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: key, control socket, server; with the first registration the namespaces
 * and programs, then fewer privileges; loop; end. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "resoa.h"

#define ERROR_LEN 512

/* CAP_SYS_ADMIN: setns(2), for each socket of A or of the host; CAP_SYS_PTRACE: pidfd_getfd(2), of
 * descriptors that CAP_DAC_READ_SEARCH sees in /proc. */
static int drop(void)
{
	return daemon_drop_privileges(
		NULL, 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW |
			      1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_BPF | 1ULL << CAP_PERFMON |
			      1ULL << CAP_SYS_PTRACE | 1ULL << CAP_DAC_READ_SEARCH);
}

int daemon_registered(struct resoa *resoa, char *error, size_t error_len)
{
	int err = net_open(&resoa->net, resoa->settings, resoa->registered, error, error_len);

	if (err)
		return err;
	resoa->program = program_load(resoa, error, error_len);
	if (!resoa->program)
		return -EIO;
	net_enter(&resoa->net, NET_W);
	snprintf(error, error_len, "the sockets of W cannot be made");
	err = syn_listen(resoa);
	if (!err)
		err = udp_open(resoa);
	if (!err)
		err = gone_open(resoa);
	if (!err)
		err = drop();
	if (err)
		return err;
	log_info("programs' namespace: descriptor %d", resoa->net.ns[NET_A]);
	daemon_ready("serving");
	return 0;
}

static int read_key(struct resoa *resoa, char *error)
{
	const char *path = resoa->settings->key;
	int err = lhp_read_identity(path, &resoa->identity);

	if (err)
		snprintf(error, ERROR_LEN, "%s: %s", path,
			 err == -EPERM	  ? "others may read it; chmod 600"
			 : err == -EINVAL ? "is not one line NAME:KEY"
					  : strerror(-err));
	return err;
}

static int start(struct resoa *resoa, char *error)
{
	int err = read_key(resoa, error);

	if (err)
		return err;
	snprintf(error, ERROR_LEN, "out of memory");
	resoa->rsocks = rsocks_new();
	if (!resoa->rsocks)
		return -ENOMEM;
	err = bind_open(resoa);
	if (!err)
		err = control_open(resoa, error, ERROR_LEN);
	return err ? err : server_open(resoa, error, ERROR_LEN);
}

static void end_one(struct rsock *rsock, void *arg)
{
	(void)arg;
	if (rsock->kind != RSOCK_BIND && rsock->kind != RSOCK_RESERVED)
		rsock_end(rsock, rsock->kind == RSOCK_LISTENER || rsock->kind == RSOCK_UDP
					 ? 0
					 : ECONNRESET);
}

static void stop(struct resoa *resoa)
{
	if (resoa->rsocks)
		rsock_each(resoa, end_one, NULL);
	notify_close(resoa);
	control_close(resoa);
	gone_close(resoa);
	udp_close(resoa);
	option_close(resoa);
	bind_close(resoa);
	reserve_close(resoa);
	knock_close(resoa);
	syn_close(resoa);
	tcp_close(resoa);
	server_close(resoa);
	program_free(resoa->program);
	if (resoa->registered)
		net_close(&resoa->net);
	rsocks_free(resoa->rsocks);
	json_decref(resoa->registered);
}

int resoa_daemon(const struct settings *settings)
{
	struct resoa resoa = { .settings = settings };
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";

	daemon_raise_file_limit();
	resoa.base = event_base_new();
	if (resoa.base && !start(&resoa, error))
		signals = daemon_signals_new(resoa.base, NULL, &resoa);
	if (signals) {
		event_base_dispatch(resoa.base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(&resoa);
	daemon_signals_free(signals);
	if (resoa.base)
		event_base_free(resoa.base);
	return signals ? 0 : 1;
}
