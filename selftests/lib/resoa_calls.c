// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/resoa_calls_say.c selftests/lib/resoa_calls_socket.c */
/* link: selftests/lib/resoa_calls_names.c selftests/lib/resoa_calls_connect.c */
/* link: selftests/lib/resoa_calls_listen.c selftests/lib/resoa_calls_data.c */
/* link: selftests/lib/resoa_calls_urgent.c selftests/lib/resoa_calls_end.c */
/* link: selftests/lib/resoa_calls_reset.c selftests/lib/resoa_calls_option.c */
/* link: selftests/lib/resoa_calls_ready.c selftests/lib/resoa_calls_process.c */
/* link: selftests/lib/resoa_calls_big.c selftests/lib/resoa_calls_udp.c */
/* link: selftests/lib/resoa_calls_udp_more.c selftests/lib/resoa_calls_udp_error.c */
/* link: selftests/lib/resoa_calls_group.c */
/*
 * selftests/lib/resoa_calls.c - the comparison program (resoa_calls.h): runs cases, each in a
 *process of its own, ended after 10 s.
 *
 *	RESOA_PEER=PATH resoa_calls [WORD...]	those whose name holds one of the words
 *	resoa_calls --list
 *	resoa_calls --inherited FD		what a case makes of itself by exec
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resoa_calls.h"
#include "resoa_calls_bytes.h"

#define CASE_SECONDS 10

static const struct calls_case *const topics[] = {
	calls_names, calls_connect, calls_listen,   calls_data,	     calls_urgent,
	calls_end,   calls_reset,   calls_option,   calls_ready,     calls_process,
	calls_big,   calls_udp,	    calls_udp_more, calls_udp_error, calls_group,
};

const char *calls_now = "";

static void run_one(const struct calls_case *one, int family)
{
	char name[100];
	int status;
	pid_t pid;

	snprintf(name, sizeof(name), "%s/%d", one->name, family);
	calls_now = name;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		alarm(slowly(CASE_SECONDS));
		one->run(family);
		exit(0);
	}
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* children that it has left */
	if (WIFSIGNALED(status))
		say("ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		say("ended with %d", WEXITSTATUS(status));
}

static bool wanted(const struct calls_case *one, int family, char **words)
{
	char name[100];

	if ((one->families == CALLS_4 && family == 6) || (one->families == CALLS_6 && family == 4))
		return false;
	if (!*words)
		return true;
	snprintf(name, sizeof(name), "%s/%d", one->name, family);
	for (; *words; words++)
		if (strstr(name, *words))
			return true;
	return false;
}

static int inherited(int fd)
{
	char text[6];
	long len = send(fd, "after exec", 10, 0);

	calls_now = "exec";
	say("send = %ld", len);
	DO_READ(recv(fd, text, sizeof(text), MSG_WAITALL), text);
	return 0;
}

int main(int argc, char **argv)
{
	bool list = argc > 1 && !strcmp(argv[1], "--list");
	const struct calls_case *one;
	size_t i;
	int family;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "--inherited"))
		return inherited(atoi(argv[2]));
	for (i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		for (one = topics[i]; one->name; one++) {
			for (family = 4; family <= 6; family += 2) {
				if (!wanted(one, family, argv + (list ? 2 : 1)))
					continue;
				if (list)
					printf("%s/%d\n", one->name, family);
				else
					run_one(one, family);
			}
		}
	}
	return 0;
}
