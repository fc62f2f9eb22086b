// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/ep.c */
/* A message of the Export Protocol: what is parsed is written again byte for byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/ep.h"
#include "agents/lib/lhp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count)
{
	(void)lhp;
	(void)stream;
	(void)class;
	(void)parts;
	return count;
}

static void check_name(const struct ep_name *name)
{
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(name, &address);
	struct ep_name again;

	if (!name->family && !len)
		return;
	if (ep_from_sockaddr((struct sockaddr *)&address, len, name->proto, false, &again) ||
	    !ep_name_equal(name, &again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ep_message message;
	uint8_t head[EP_HEAD_MAX];
	size_t len;

	if (ep_parse(data, size, &message))
		return 0;
	len = ep_write_head(&message, head);
	if (len + message.body_len != size || memcmp(head, data, len))
		abort();
	if (message.body_len && message.body != data + len)
		abort();
	check_name(&message.name);
	check_name(&message.other);
	return 0;
}
