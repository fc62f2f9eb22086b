// SPDX-License-Identifier: GPL-3.0-or-later
#include "datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
/* After netinet: both define ip_mreqn. */
#include <linux/errqueue.h>
#include <linux/in6.h>

#include "address.h"

#define CONTROL_BYTES 256

/* One thread, so one buffer. */
static struct {
	struct iovec iov;
	struct sockaddr_storage from;
	uint8_t control[CONTROL_BYTES] __attribute__((aligned(8)));
	uint8_t bytes[DATAGRAM_MAX];
} in;

bool ep_name_is_any(const struct ep_name *name)
{
	static const struct isthmus_addr any, any4 = { .b = { [10] = 0xff, [11] = 0xff } };

	return address_equal(&name->address, &any) || address_equal(&name->address, &any4);
}

bool ep_name_is_loopback(const struct ep_name *name)
{
	static const struct isthmus_addr one = { .b = { [15] = 1 } };

	return name->family == 4 ? !ep_name_is_any(name) && name->address.b[12] == 127
				 : address_equal(&name->address, &one);
}

bool ep_name_is_many(const struct ep_name *name)
{
	static const uint8_t all[4] = { 255, 255, 255, 255 };

	if (name->family == 6)
		return name->address.b[0] == 0xff;
	return (name->address.b[12] & 0xf0) == 0xe0 || !memcmp(name->address.b + 12, all, 4);
}

static int on(int fd, int level, int option)
{
	const int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) ? -errno : 0;
}

static int prepare4(int fd, bool steered)
{
	int rc = on(fd, IPPROTO_IP, IP_RECVTTL);

	if (!rc)
		rc = on(fd, IPPROTO_IP, IP_RECVTOS);
	if (!rc && steered)
		rc = on(fd, IPPROTO_IP, IP_TRANSPARENT);
	if (!rc)
		rc = on(fd, IPPROTO_IP, steered ? IP_RECVORIGDSTADDR : IP_PKTINFO);
	if (!rc && !steered)
		rc = on(fd, IPPROTO_IP, IP_RECVERR);
	return rc;
}

/* Not a second time, for a bound socket refuses that. */
static int only6(int fd)
{
	socklen_t len = sizeof(int);
	int is = 0;

	getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &is, &len);
	return is ? 0 : on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
}

static int prepare6(int fd, bool steered)
{
	int rc = only6(fd);

	if (!rc)
		rc = on(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
	if (!rc)
		rc = on(fd, IPPROTO_IPV6, IPV6_RECVTCLASS);
	if (!rc && steered)
		rc = on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
	if (!rc)
		rc = on(fd, IPPROTO_IPV6, steered ? IPV6_RECVORIGDSTADDR : IPV6_RECVPKTINFO);
	if (!rc && !steered)
		rc = on(fd, IPPROTO_IPV6, IPV6_RECVERR);
	return rc;
}

int datagram_prepare(int fd, uint8_t family, bool steered)
{
	return family == 6 ? prepare6(fd, steered) : prepare4(fd, steered);
}

/* ---- what came beside the bytes */

static void set4(struct ep_name *name, const struct in_addr *address)
{
	name->family = 4;
	name->proto = IPPROTO_UDP;
	name->address = (struct isthmus_addr){ .b = { [10] = 0xff, [11] = 0xff } };
	memcpy(name->address.b + 12, address, 4);
}

static void set6(struct ep_name *name, const struct in6_addr *address)
{
	name->family = 6;
	name->proto = IPPROTO_UDP;
	memcpy(name->address.b, address, 16);
}

static uint8_t number_of(const struct cmsghdr *control)
{
	int value;

	if (control->cmsg_len < CMSG_LEN(sizeof(value)))
		return *CMSG_DATA(control);
	memcpy(&value, CMSG_DATA(control), sizeof(value));
	return (uint8_t)value;
}

static void read4(const struct cmsghdr *control, struct datagram *datagram)
{
	struct in_pktinfo info;

	switch (control->cmsg_type) {
	case IP_TTL:
		datagram->ttl = number_of(control);
		break;
	case IP_TOS:
		datagram->tos = number_of(control);
		break;
	case IP_ORIGDSTADDR:
		ep_from_sockaddr((const struct sockaddr *)CMSG_DATA(control),
				 sizeof(struct sockaddr_in), IPPROTO_UDP, true, &datagram->to);
		break;
	case IP_PKTINFO:
		memcpy(&info, CMSG_DATA(control), sizeof(info));
		set4(&datagram->to, &info.ipi_addr);
		datagram->ifindex = (unsigned int)info.ipi_ifindex;
		break;
	}
}

static void read6(const struct cmsghdr *control, struct datagram *datagram)
{
	struct in6_pktinfo info;

	switch (control->cmsg_type) {
	case IPV6_HOPLIMIT:
		datagram->ttl = number_of(control);
		break;
	case IPV6_TCLASS:
		datagram->tos = number_of(control);
		break;
	case IPV6_ORIGDSTADDR:
		ep_from_sockaddr((const struct sockaddr *)CMSG_DATA(control),
				 sizeof(struct sockaddr_in6), IPPROTO_UDP, true, &datagram->to);
		break;
	case IPV6_PKTINFO:
		memcpy(&info, CMSG_DATA(control), sizeof(info));
		set6(&datagram->to, &info.ipi6_addr);
		datagram->ifindex = info.ipi6_ifindex;
		break;
	}
}

static void read_control(struct msghdr *message, struct datagram *datagram)
{
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == IPPROTO_IP)
			read4(control, datagram);
		else if (control->cmsg_level == IPPROTO_IPV6)
			read6(control, datagram);
	}
}

static void prepare_message(struct msghdr *message)
{
	in.iov = (struct iovec){ in.bytes, sizeof(in.bytes) };
	*message = (struct msghdr){
		.msg_name = &in.from,
		.msg_namelen = sizeof(in.from),
		.msg_iov = &in.iov,
		.msg_iovlen = 1,
		.msg_control = in.control,
		.msg_controllen = sizeof(in.control),
	};
}

int datagram_receive(int fd, struct datagram *datagram)
{
	struct msghdr message;
	ssize_t len;

	prepare_message(&message);
	len = recvmsg(fd, &message, MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	*datagram = (struct datagram){ .bytes = in.bytes, .len = (size_t)len };
	read_control(&message, datagram);
	return ep_from_sockaddr(message.msg_name, message.msg_namelen, IPPROTO_UDP, true,
				&datagram->from);
}

/* ---- errors */

static void read_extended(const struct cmsghdr *control, struct datagram_error *error)
{
	struct sock_extended_err extended;
	struct ep_name by;

	memcpy(&extended, CMSG_DATA(control), sizeof(extended));
	error->error = (int)extended.ee_errno;
	error->type = extended.ee_type;
	error->code = extended.ee_code;
	error->info = extended.ee_info;
	if (extended.ee_origin == SO_EE_ORIGIN_LOCAL)
		return;
	if (!ep_from_sockaddr((const struct sockaddr *)(CMSG_DATA(control) + sizeof(extended)),
			      control->cmsg_len - CMSG_LEN(sizeof(extended)), IPPROTO_UDP, true,
			      &by))
		error->by = by.address;
}

static bool is_extended(const struct cmsghdr *control)
{
	return control->cmsg_len >= CMSG_LEN(sizeof(struct sock_extended_err)) &&
	       ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
		(control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR));
}

int datagram_error(int fd, struct datagram_error *error)
{
	struct datagram beside = { 0 };
	struct cmsghdr *control;
	struct msghdr message;
	ssize_t len;

	prepare_message(&message);
	len = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	*error = (struct datagram_error){ .bytes = in.bytes, .len = (size_t)len };
	ep_from_sockaddr(message.msg_name, message.msg_namelen, IPPROTO_UDP, true, &error->to);
	for (control = CMSG_FIRSTHDR(&message); control; control = CMSG_NXTHDR(&message, control))
		if (is_extended(control))
			read_extended(control, error);
	/* The ICMP message came to the address that the datagram was sent from. */
	read_control(&message, &beside);
	error->local = beside.to;
	return 0;
}

/* ---- sending */

struct out {
	struct msghdr *message;
	struct cmsghdr *last;
};

static void add(struct out *out, int level, int type, const void *value, size_t len)
{
	struct cmsghdr *control =
		out->last ? (void *)((uint8_t *)out->last + CMSG_ALIGN(out->last->cmsg_len))
			  : out->message->msg_control;

	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(control), value, len);
	out->last = control;
	out->message->msg_controllen += CMSG_SPACE(len);
}

static void add4(struct out *out, const struct datagram *datagram)
{
	struct in_pktinfo info = { .ipi_ifindex = (int)datagram->ifindex };
	const int ttl = datagram->ttl, tos = datagram->tos;

	memcpy(&info.ipi_spec_dst, datagram->from.address.b + 12, 4);
	add(out, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	add(out, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	if (ttl)
		add(out, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
}

static void add6(struct out *out, const struct datagram *datagram)
{
	struct in6_pktinfo info = { .ipi6_ifindex = datagram->ifindex };
	const int ttl = datagram->ttl, tos = datagram->tos;

	memcpy(&info.ipi6_addr, datagram->from.address.b, 16);
	add(out, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	add(out, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	if (ttl)
		add(out, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
}

int datagram_send(int fd, const struct datagram *datagram, const struct iovec *parts, int count)
{
	uint8_t control[CONTROL_BYTES] __attribute__((aligned(8))) = { 0 };
	struct sockaddr_storage to;
	struct msghdr message = { .msg_name = &to,
				  .msg_iov = (struct iovec *)parts,
				  .msg_iovlen = (size_t)count,
				  .msg_control = control };
	struct out out = { .message = &message };

	message.msg_namelen = ep_to_sockaddr(&datagram->to, &to);
	if (datagram->to.family == 6)
		add6(&out, datagram);
	else
		add4(&out, datagram);
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
