// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * Pinned state: a directory of pins is made aside and renamed when it is whole; whoever changes it
 * holds a flock on a directory of the same file system. A bpffs of its own, in a mount namespace.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/lib/assume.h"

static int pin_value(const char *path, __u32 value)
{
	int fd = must(bpf_map_create(BPF_MAP_TYPE_ARRAY, "assume", 4, 4, 1, NULL));
	__u32 key = 0;

	must(bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	must(bpf_obj_pin(fd, path));
	return fd;
}

static __u32 pinned_value(const char *path)
{
	__u32 key = 0, value = 0;
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	bpf_map_lookup_elem(fd, &key, &value);
	close(fd);
	return value;
}

static void check_rename(void)
{
	must(mkdir("stage", 0755));
	close(pin_value("stage/one", 11));
	close(pin_value("stage/two", 22));
	assume(!rename("stage", "live"), "a directory with pins is renamed", "%s", strerror(errno));
	assume(pinned_value("live/one") == 11 && pinned_value("live/two") == 22,
	       "its pins are found under the new name", "got %u", pinned_value("live/one"));
	assume(access("stage", F_OK) && errno == ENOENT, "and not under the old one",
	       "still there");
	must(mkdir("stage", 0755));
	close(pin_value("stage/one", 33));
	assume(rename("stage", "live") && errno == ENOTEMPTY,
	       "a directory with pins is not overwritten by a rename", "%s", strerror(errno));
	assume(pinned_value("live/one") == 11, "and keeps them", "got %u",
	       pinned_value("live/one"));
}

static void check_pin_rename(void)
{
	int fd = pin_value("live/one_new", 44);

	assume(!rename("live/one_new", "live/one") && pinned_value("live/one") == 44,
	       "a pin is exchanged by a rename over it", "got %u", pinned_value("live/one"));
	assume(bpf_obj_pin(fd, "live/two") == -EEXIST, "a pin never replaces another", "it did");
	assume(bpf_obj_pin(fd, "live/dot.ted") == -EPERM, "a name with a dot is not a pin's",
	       "it is");
	close(fd);
}

/* Tries the lock in another process: flocks of one process do not exclude each other's children. */
static int lock_elsewhere(const char *path)
{
	int status;
	pid_t pid = must(fork());

	if (!pid) {
		int fd = open(path, O_RDONLY | O_DIRECTORY);

		_exit(fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) ? 0 : errno);
	}
	must(waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

static void check_lock(void)
{
	int fd = must(open("live", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int other;

	assume(!flock(fd, LOCK_EX | LOCK_NB), "a directory is locked", "%s", strerror(errno));
	other = lock_elsewhere("live");
	assume(other == EWOULDBLOCK, "another process is refused", "%s", strerror(other));
	assume(!rename("live", "moved") && lock_elsewhere("moved") == EWOULDBLOCK,
	       "the lock moves with a renamed directory", "%s", strerror(errno));
	close(fd);
	other = lock_elsewhere("moved");
	assume(!other, "it ends with its descriptor", "%s", strerror(other));
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/isthmus-bpffs-XXXXXX";

	(void)argc;
	assume_begin(argv[0], false);
	must(unshare(CLONE_NEWNS));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (!mkdtemp(dir))
		assume_die("mkdtemp", __LINE__);
	must(mount("bpf", dir, "bpf", 0, NULL));
	must(chdir(dir));
	check_rename();
	check_pin_rename();
	check_lock();
	must(chdir("/"));
	must(umount2(dir, MNT_DETACH));
	must(rmdir(dir));
	return assume_end();
}
