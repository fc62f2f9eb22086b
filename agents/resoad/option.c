// SPDX-License-Identifier: GPL-3.0-or-later
#include "resoad.h"
void option_message(struct sock *sock, const struct ep_message *message)
{
	(void)sock;
	(void)message;
}
void option_apply(struct sock *sock)
{
	(void)sock;
}
void option_end(struct sock *sock)
{
	(void)sock;
}
bool option_v6only(const struct sock *sock)
{
	(void)sock;
	return false;
}
