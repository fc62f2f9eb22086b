// SPDX-License-Identifier: GPL-3.0-or-later
#include "resoad.h"
void udp_message(struct sock *sock, const struct ep_message *message)
{
	(void)message;
	sock_end(sock, 95);
}
void udp_end(struct sock *sock)
{
	(void)sock;
}
void udp_writable(struct client *client)
{
	(void)client;
}
