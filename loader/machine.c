// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "loader.h"
#include "machine.h"

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[capability / 32].effective & (1U << capability % 32);
}

int machine_check(const char *stem)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (!has_capability(CAP_SYS_ADMIN) &&
	    (!has_capability(CAP_BPF) || !has_capability(CAP_NET_ADMIN)))
		return complain_pins(-EPERM, NULL, stem);
	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return EXIT_DONE;
	if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		return complain(EXIT_FAILED, "%s: Linux %s is too old; %d.%d or newer is needed",
				stem, name.release, KERNEL_MAJOR, KERNEL_MINOR);
	return EXIT_DONE;
}

int machine_complain_load(int err, const char *stem, const char *remedy)
{
	if (err == -EPERM)
		return complain_pins(err, NULL, stem);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return complain(
			EXIT_FAILED,
			"%s: the kernel has no BTF (/sys/kernel/btf/vmlinux); use one built "
			"with CONFIG_DEBUG_INFO_BTF, as the distribution's is",
			stem);
	if (err == -ENOMEM || err == -E2BIG)
		return complain(EXIT_FAILED, "%s: no memory for its tables; %s", stem, remedy);
	return complain(EXIT_FAILED,
			"%s: the kernel refuses the programs: %s; ISTHMUS_DEBUG=1 in the "
			"environment shows why",
			stem, strerror(-err));
}

void machine_block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int machine_netns(uint64_t *inode)
{
	struct stat ns;

	if (stat("/proc/self/ns/net", &ns))
		return -errno;
	*inode = ns.st_ino;
	return 0;
}

int machine_netns_cookie(uint64_t *cookie)
{
	int fd CLOSE_FD = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*cookie);

	if (fd < 0)
		return -errno;
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len) ? -errno : 0;
}
