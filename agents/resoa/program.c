// SPDX-License-Identifier: GPL-3.0-or-later
/* The BPF programs of this daemon's A and W. Nothing is pinned: they end with their descriptors. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/log.h"
#include "bpf/resoa.skel.h"
#include "resoa.h"

#define LINKS_MAX     16
#define PREFERENCE    1
#define FILTER_PRIO   1
#define FILTER_HANDLE 1

struct program {
	struct resoa *resoa;
	struct resoa_bpf *skel;
	struct ring_buffer *ring;
	struct event *event;
	struct bpf_link *link[LINKS_MAX];
	unsigned int links;
	struct bpf_link *timeouts; /* one of them: of the iterator */
	bool draining;
	bool answers; /* resoa_getsockopt is attached */
};

/* ---- events */

static int on_event(void *arg, void *data, size_t size)
{
	struct resoa *resoa = arg;
	const struct resoa_event *event = data;

	if (size < sizeof(*event) || event->length > sizeof(event->bytes))
		return 0;
	switch (event->type) {
	case RESOA_EVENT_SYN:
		syn_event(resoa, event);
		break;
	case RESOA_EVENT_BOUND:
		if (event->proto == IPPROTO_UDP)
			udp_event_bound(resoa, event);
		bind_event(resoa, event);
		break;
	case RESOA_EVENT_LISTEN:
		listen_event(resoa, event);
		break;
	case RESOA_EVENT_UNLISTEN:
		listen_event_end(resoa, event);
		break;
	case RESOA_EVENT_OPTION:
		option_event(resoa, event);
		break;
	case RESOA_EVENT_READ:
		tcp_event_read(resoa, event);
		break;
	}
	return 0;
}

/* An event's handler may want to forward something, and comes here again: those behind it wait. */
void program_drain(struct program *program)
{
	if (!program || program->draining)
		return;
	program->draining = true;
	ring_buffer__consume(program->ring);
	program->draining = false;
}

static void on_ring(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	program_drain(arg);
}

static int open_ring(struct program *program)
{
	int fd = bpf_map__fd(program->skel->maps.resoa_event);

	program->ring = ring_buffer__new(fd, on_event, program->resoa, NULL);
	if (!program->ring)
		return -errno;
	program->event = event_new(program->resoa->base, ring_buffer__epoll_fd(program->ring),
				   EV_READ | EV_PERSIST, on_ring, program);
	return program->event && !event_add(program->event, NULL) ? 0 : -ENOMEM;
}

/* ---- loading */

static int load(struct program *program)
{
	struct resoa_bpf *skel = resoa_bpf__open();
	int err;

	if (!skel)
		return -errno;
	program->skel = skel;
	bpf_program__set_autoload(skel->progs.resoa_fin_in, false);
	bpf_program__set_autoload(skel->progs.resoa_fin_out, false);
	bpf_map__set_autocreate(skel->maps.resoa_knock, false);
	bpf_map__set_autocreate(skel->maps.resoa_pace, false);
	err = resoa_bpf__load(skel);
	return err;
}

static int keep(struct program *program, struct bpf_link *link)
{
	if (!link)
		return -errno;
	program->link[program->links++] = link;
	return 0;
}

/* The cgroup that all processes are below, for a program's sockets are known by their namespace. */
static int open_cgroup(void)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, path[512];
	size_t room = 0;
	int fd = -ENOENT;

	while (mounts && fd == -ENOENT && getline(&line, &room, mounts) > 0)
		if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s / %511s", path) == 1) {
			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			fd = fd < 0 ? -errno : fd;
		}
	free(line);
	if (mounts)
		fclose(mounts);
	return fd;
}

/* It costs each getsockopt(2) of the host a third of a microsecond: so only where it is needed. */
static int attach_answers(struct program *program)
{
	int fd, err;

	if (program->answers)
		return 0;
	fd = open_cgroup();
	if (fd < 0)
		return fd;
	err = keep(program, bpf_program__attach_cgroup(program->skel->progs.resoa_getsockopt, fd));
	close(fd);
	program->answers = !err;
	return err;
}

int program_conf(struct program *program)
{
	const struct net *net = &program->resoa->net;
	const char *congestion =
		json_string_value(json_object_get(program->resoa->registered, "congestion"));
	struct resoa_conf conf = {
		.abi = RESOA_ABI,
		.open_binds = net->whole_host, /* its services have addresses of their own */
		.client = net->cookie[NET_A],
		.world = net->cookie[NET_W],
	};
	const uint32_t zero = 0;

	memcpy(conf.congestion_a, net->congestion, sizeof(conf.congestion_a));
	if (congestion)
		strncpy(conf.congestion, congestion, sizeof(conf.congestion) - 1);
	if (bpf_map_update_elem(bpf_map__fd(program->skel->maps.resoa_conf), &zero, &conf, 0))
		return -errno;
	return congestion && strcmp(conf.congestion, conf.congestion_a) ? attach_answers(program)
									: 0;
}

static int attach_cgroup(struct program *program)
{
	const struct resoa_bpf *skel = program->skel;
	struct bpf_program *const list[] = {
		skel->progs.resoa_create,     skel->progs.resoa_bind4,
		skel->progs.resoa_bind6,      skel->progs.resoa_post_bind4,
		skel->progs.resoa_post_bind6, skel->progs.resoa_setsockopt,
		skel->progs.resoa_sockops,
	};
	int fd = open_cgroup(), err = 0;

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]) && !err; i++)
		err = keep(program, bpf_program__attach_cgroup(list[i], fd));
	close(fd);
	return err;
}

static int attach_out(struct program *program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)program->resoa->net.e0,
		    .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options,
		    .prog_fd = bpf_program__fd(program->skel->progs.resoa_out),
		    .handle = FILTER_HANDLE, .priority = FILTER_PRIO);
	int err = net_enter(&program->resoa->net, NET_A);

	if (!err)
		err = bpf_tc_hook_create(&hook);
	if (!err)
		err = bpf_tc_attach(&hook, &options);
	net_enter(&program->resoa->net, NET_W);
	return err;
}

static int attach(struct program *program, const char **what)
{
	int err;

	*what = "cgroup programs (cgroup2 must be mounted)";
	err = attach_cgroup(program);
	if (err)
		return err;
	*what = "the program at e0";
	err = attach_out(program);
	if (err)
		return err;
	*what = "the program of W's sockets";
	err = keep(program, bpf_program__attach_netns(program->skel->progs.resoa_lookup,
						      program->resoa->net.ns[NET_W]));
	if (err)
		return err;
	*what = "the program of reads";
	err = keep(program, bpf_program__attach(program->skel->progs.resoa_read));
	if (err)
		return err;
	*what = "the program of timeouts";
	program->timeouts = bpf_program__attach_iter(program->skel->progs.resoa_time_out, NULL);
	return keep(program, program->timeouts);
}

struct program *program_load(struct resoa *resoa, char *error, size_t error_len)
{
	struct program *program = calloc(1, sizeof(*program));
	const char *what = "loading BPF programs";
	int err = -ENOMEM;

	if (program) {
		program->resoa = resoa;
		err = load(program);
	}
	if (!err)
		err = program_conf(program);
	if (!err)
		err = attach(program, &what);
	if (!err)
		err = open_ring(program);
	if (!err)
		return program;
	snprintf(error, error_len, "%s: %s", what, strerror(-err));
	program_free(program);
	return NULL;
}

void program_free(struct program *program)
{
	if (!program)
		return;
	for (unsigned int i = 0; i < program->links; i++)
		bpf_link__destroy(program->link[i]);
	if (program->event)
		event_free(program->event);
	ring_buffer__free(program->ring);
	resoa_bpf__destroy(program->skel);
	free(program);
}

/* ---- maps */

int program_held(struct program *program, const struct resoa_syn *syn, enum resoa_held_state state)
{
	const struct resoa_held held = { .state = state };

	return bpf_map_update_elem(bpf_map__fd(program->skel->maps.resoa_held), syn, &held, 0)
		       ? -errno
		       : 0;
}

void program_unheld(struct program *program, const struct resoa_syn *syn)
{
	bpf_map_delete_elem(bpf_map__fd(program->skel->maps.resoa_held), syn);
}

int program_world(struct program *program, enum resoa_slot slot, int fd)
{
	const uint32_t key = slot;
	const uint64_t value = fd;

	return bpf_map_update_elem(bpf_map__fd(program->skel->maps.resoa_world), &key, &value, 0)
		       ? -errno
		       : 0;
}

/* A port is granted as often as it is asked for, and until it is given back as often. */
int program_port(struct program *program, const struct resoa_port_key *key, bool granted)
{
	int fd = bpf_map__fd(program->skel->maps.resoa_port);
	uint32_t count = 0;

	bpf_map_lookup_elem(fd, key, &count);
	if (granted)
		count++;
	else if (count)
		count--;
	if (!count)
		return bpf_map_delete_elem(fd, key) && errno != ENOENT ? -errno : 0;
	return bpf_map_update_elem(fd, key, &count, 0) ? -errno : 0;
}

int program_timeout(struct program *program, const struct resoa_names *names, bool add)
{
	int fd = bpf_map__fd(program->skel->maps.resoa_timeout);
	const uint32_t seen = 0;

	if (!add)
		return bpf_map_delete_elem(fd, names) ? -errno : 0;
	return bpf_map_update_elem(fd, names, &seen, 0) ? -errno : 0;
}

uint32_t program_timeout_seen(struct program *program, const struct resoa_names *names)
{
	uint32_t seen = 0;

	bpf_map_lookup_elem(bpf_map__fd(program->skel->maps.resoa_timeout), names, &seen);
	return seen;
}

/* It goes through the sockets of the namespace in which it is made. */
void program_time_out(struct program *program)
{
	char nothing[64];
	int fd;

	net_enter(&program->resoa->net, NET_A);
	fd = bpf_iter_create(bpf_link__fd(program->timeouts));
	net_enter(&program->resoa->net, NET_W);
	if (fd < 0) {
		log_warn("sockets cannot be gone through: %s", strerror(errno));
		return;
	}
	while (read(fd, nothing, sizeof(nothing)) > 0)
		;
	close(fd);
}

/* A socket that has it already was granted it: that count stays. */
void program_refuse(struct program *program, const struct resoa_port_key *key, bool refused)
{
	int fd = bpf_map__fd(program->skel->maps.resoa_port);
	uint32_t count = 0;

	if (refused)
		bpf_map_update_elem(fd, key, &count, BPF_NOEXIST);
	else if (!bpf_map_lookup_elem(fd, key, &count) && !count)
		bpf_map_delete_elem(fd, key);
}

void program_count(struct program *program, struct isthmus_count counts[RESOA_REASON_COUNT])
{
	int fd = bpf_map__fd(program->skel->maps.resoa_stats), cpus = libbpf_num_possible_cpus();
	struct isthmus_count *each = cpus > 0 ? calloc(cpus, sizeof(*each)) : NULL;

	memset(counts, 0, RESOA_REASON_COUNT * sizeof(*counts));
	for (uint32_t reason = 0; each && reason < RESOA_REASON_COUNT; reason++) {
		if (bpf_map_lookup_elem(fd, &reason, each))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++) {
			counts[reason].packets += each[cpu].packets;
			counts[reason].bytes += each[cpu].bytes;
		}
	}
	free(each);
}
