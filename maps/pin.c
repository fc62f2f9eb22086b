// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One way to name, lock and open pinned state. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "pin.h"

#define INSTANCE_MAX  32
#define LOCK_WAIT_MS  5000
#define LOCK_RETRY_MS 50
#define HOLD_WAIT_MS  3000
#define HOLD_RETRY_MS 100

static int instance_check(const char *instance)
{
	size_t len;

	if (!instance || !*instance)
		return 0;
	len = strspn(instance, "abcdefghijklmnopqrstuvwxyz"
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return instance[len] || len > INSTANCE_MAX ? -EINVAL : 0;
}

int pin_path(const char *instance, const char *stem, const char *name, char *path, size_t len)
{
	const char *part[] = { instance, stem, name };
	char built[512] = ISTHMUS_PIN_ROOT;
	size_t used = strlen(built);
	int err = instance_check(instance);

	if (err)
		return err;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		if (!part[i] || !*part[i])
			continue;
		int n = snprintf(built + used, sizeof(built) - used, "/%s", part[i]);
		if (n < 0 || (size_t)n >= sizeof(built) - used)
			return -ENAMETOOLONG;
		used += n;
	}
	if (used >= len)
		return -ENAMETOOLONG;
	memcpy(path, built, used + 1);
	return 0;
}

static int directory_make(const char *path)
{
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

static int is_bpffs(void)
{
	char parent[] = ISTHMUS_PIN_ROOT;
	struct statfs fs;

	*strrchr(parent, '/') = 0;
	if (statfs(parent, &fs))
		return errno == ENOENT ? -ENOTSUP : -errno;
	return fs.f_type == BPF_FS_MAGIC ? 0 : -ENOTSUP;
}

/*
 * A detach removes the directory when it is done: who waited for its lock then holds nothing. The
 * file system may be writable for everyone (mode 1777), so a stranger may have made the directory.
 */
static int still_there(int fd, const char *path)
{
	struct stat held, named;

	if (fstat(fd, &held))
		return -errno;
	if (held.st_uid && held.st_uid != geteuid())
		return -EPERM;
	if (stat(path, &named))
		return errno == ENOENT ? 0 : -errno;
	return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* Returns a locked descriptor, -EAGAIN if someone else holds it, another error. */
static int lock_try(const char *instance, const char *path)
{
	int err = directory_make(ISTHMUS_PIN_ROOT);
	int fd;

	if (!err && instance && *instance)
		err = directory_make(path);
	if (err) /* ENOENT: the root was removed in between */
		return err == -ENOENT ? -EAGAIN : err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		err = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	else
		err = still_there(fd, path);
	if (err == 1)
		return fd;
	close(fd);
	return err ? err : -EAGAIN;
}

int pin_lock(const char *instance)
{
	const struct timespec pause = { .tv_nsec = LOCK_RETRY_MS * 1000000L };
	char path[512];
	int err = pin_path(instance, NULL, NULL, path, sizeof(path));

	if (!err)
		err = is_bpffs();
	if (err)
		return err;
	for (int waited = 0; waited <= LOCK_WAIT_MS; waited += LOCK_RETRY_MS) {
		int fd = lock_try(instance, path);

		if (fd != -EAGAIN)
			return fd;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

int pin_hold(const char *instance, const char *stem)
{
	const struct timespec pause = { .tv_nsec = HOLD_RETRY_MS * 1000000L };
	char path[512];
	int err = pin_path(instance, stem, NULL, path, sizeof(path));
	int fd;

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += HOLD_RETRY_MS) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (err != -EBUSY || waited >= HOLD_WAIT_MS) {
			close(fd);
			return err;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

int pin_open_map(const char *instance, const char *stem, const char *name, size_t key_size,
		 size_t value_size)
{
	struct bpf_map_info info = {};
	__u32 info_len = sizeof(info);
	char path[512];
	int err = pin_path(instance, stem, name, path, sizeof(path));
	int fd;

	if (err)
		return err;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == EACCES ? -EPERM : -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &info_len))
		err = -errno;
	else if (info.key_size != key_size || info.value_size != value_size)
		err = -EPROTO;
	if (!err)
		return fd;
	close(fd);
	return err;
}
