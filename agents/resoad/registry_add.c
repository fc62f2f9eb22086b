// SPDX-License-Identifier: GPL-3.0-or-later
/* A client more: its section, with a fresh key. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_file.h"

static bool file_has(FILE *file, const char *name)
{
	char line[256], section[256];

	snprintf(section, sizeof(section), "[" REGISTRY_SECTION "%s]", name);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, section, strlen(section)))
			return true;
	return false;
}

static int append(FILE *file, const struct lhp_identity *identity)
{
	fprintf(file, "\n[" REGISTRY_SECTION "%s]\nkey = ", identity->name);
	for (int i = 0; i < LHP_KEY_BYTES; i++)
		fprintf(file, "%02x", identity->key[i]);
	fprintf(file, "\n");
	return fflush(file) || fsync(fileno(file)) ? -errno : 0;
}

int registry_add(const char *path, struct lhp_identity *identity)
{
	struct lhp_identity fresh = *identity;
	struct stat st;
	FILE *file;
	int err, fd;

	if (!registry_name_is_good(fresh.name))
		return -EINVAL;
	if (getrandom(fresh.key, sizeof(fresh.key), 0) != sizeof(fresh.key))
		return -EIO;
	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "a+");
	if (!file) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	if (fstat(fd, &st) || st.st_mode & 077)
		err = -EPERM;
	else
		err = file_has(file, fresh.name) ? -EEXIST : append(file, &fresh);
	fclose(file);
	if (!err)
		*identity = fresh;
	return err;
}
