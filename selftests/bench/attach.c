/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * attach - puts a yardstick's program on a device and leaves it there.
 *
 *   attach DEV OBJECT PROGRAM PIN [TARGET]
 *
 * PIN is a directory in a bpffs where the object's maps are pinned; TARGET is the device that the
 * program sends on. An XDP program is attached natively, a tc program at clsact ingress.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int set_target(struct bpf_object *object, const char *device)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	uint32_t target = device ? if_nametoindex(device) : 0;

	if (!device)
		return 0;
	if (!target || !map)
		return -ENODEV;
	return bpf_map__set_initial_value(map, &target, sizeof(target));
}

static int attach(const struct bpf_program *program, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program));
	int error;

	if (bpf_program__type(program) == BPF_PROG_TYPE_XDP)
		return bpf_xdp_attach(ifindex, bpf_program__fd(program), XDP_FLAGS_DRV_MODE, NULL);
	error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST)
		return error;
	return bpf_tc_attach(&hook, &options);
}

int main(int argc, char **argv)
{
	struct bpf_program *program = NULL, *other;
	struct bpf_object *object;
	int error, ifindex;

	if (argc < 5 || argc > 6) {
		fprintf(stderr, "usage: attach DEV OBJECT PROGRAM PIN [TARGET]\n");
		return 2;
	}
	ifindex = if_nametoindex(argv[1]);
	object = bpf_object__open_file(argv[2], NULL);
	if (object)
		program = bpf_object__find_program_by_name(object, argv[3]);
	if (!ifindex || !program) {
		fprintf(stderr, "attach: %s: no such %s\n", ifindex ? argv[2] : argv[1],
			ifindex ? "object, or no such program in it" : "device");
		return 1;
	}
	bpf_object__for_each_program(other, object)
		bpf_program__set_autoload(other, other == program);
	error = set_target(object, argc == 6 ? argv[5] : NULL);
	error = error ?: bpf_object__load(object);
	error = error ?: bpf_object__pin_maps(object, argv[4]);
	error = error ?: attach(program, ifindex);
	if (error)
		fprintf(stderr, "attach: %s on %s: %s\n", argv[3], argv[1], strerror(-error));
	bpf_object__close(object);
	return !!error;
}
