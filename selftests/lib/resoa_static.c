// SPDX-License-Identifier: GPL-3.0-or-later
/* A program that no library can be put before: selftests/resoa_run.sh links it statically.
 * `resoa_static PORT ADDRESS PEERPORT`: binds PORT, connects, prints the own name and an echo. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET }, peer = { .sin_family = AF_INET };
	socklen_t len = sizeof(own);
	char bytes[16] = "";
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 4)
		return 2;
	own.sin_port = htons((uint16_t)atoi(argv[1]));
	peer.sin_port = htons((uint16_t)atoi(argv[3]));
	inet_pton(AF_INET, argv[2], &peer.sin_addr);
	if (fd < 0)
		return fail("socket");
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)))
		return fail("bind");
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		return fail("connect");
	getsockname(fd, (struct sockaddr *)&own, &len);
	if (write(fd, "static", 6) != 6 || read(fd, bytes, sizeof(bytes) - 1) < 0)
		return fail("echo");
	printf("%s %d %s\n", inet_ntoa(own.sin_addr), ntohs(own.sin_port), bytes);
	return 0;
}
