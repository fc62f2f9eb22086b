// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/srv/srv.c */
/* A resolver's answer to a program under isthmus-srv-run: parsed and put in order, within bounds.
 */
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "agents/srv/srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct srv_list list;
	int rc;

	if (size > NS_MAXMSG)
		return 0;
	rc = srv_parse(data, size, &list);
	if (list.count > SRV_TARGETS_MAX || (rc && list.count))
		abort();
	srv_order(&list, srv_random);
	for (unsigned int i = 0; i < list.count; i++)
		if (!memchr(list.target[i].host, 0, sizeof(list.target[i].host)) ||
		    (i && list.target[i].priority < list.target[i - 1].priority))
			abort();
	return 0;
}
