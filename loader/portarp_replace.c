// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus portarp attach --replace`: maps stay, and with them owners, flows and settings; each
 * link and filter takes the new program between two packets.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "machine.h"
#include "portarp_attach.h"

static int check_netns(const struct portarp_run *run)
{
	uint64_t here;
	int err = machine_netns(&here);

	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	if (here == run->conf.netns)
		return EXIT_DONE;
	return complain(EXIT_FAILED,
			"portarp: it is attached in another network namespace (%llu, this is "
			"%llu); run this there: `nsenter --net=/run/netns/NAME`",
			(unsigned long long)run->conf.netns, (unsigned long long)here);
}

/* Role, devices, mode and sizes are told again only to be confirmed. */
static int check_words(const struct portarp_run *run)
{
	const struct portarp_settings *wanted = run->wanted;
	const char *option = wanted->role && wanted->role != run->conf.role ? "role"
			     : wanted->uplink.count			    ? "uplink"
			     : wanted->lan.count			    ? "lan"
			     : wanted->mode > CHOOSE_AUTO		    ? "mode"
			     : wanted->owners				    ? "owners"
			     : wanted->addresses			    ? "addresses"
			     : wanted->blocks				    ? "blocks"
			     : wanted->watch				    ? "watch"
			     : wanted->flows				    ? "flows"
			     : wanted->op_request			    ? "op-request"
			     : wanted->op_reply				    ? "op-reply"
			     : wanted->cgroup				    ? "cgroup"
									    : NULL;

	if (!option)
		return EXIT_DONE;
	return complain(EXIT_FAILED,
			"portarp: --%s: --replace exchanges programs and keeps all else; detach "
			"and attach again to change it",
			option);
}

static int exchange(const struct portarp_run *run)
{
	char name[IF_NAMESIZE];
	int err;

	for (unsigned int i = 0; i < PORTARP_LINKS; i++) {
		const struct portarp_link *link = &run->conf.link[i];

		/* a device that has gone took its programs with it */
		if (!link->ifindex || !if_indextoname(link->ifindex, name))
			continue;
		err = portarp_run_exchange(run, link);
		if (err)
			return complain(EXIT_FAILED,
					"%s: its programs could not be exchanged: %s; the old ones "
					"go on; repeat, or detach and attach again",
					name, strerror(-err));
	}
	err = portarp_run_exchange_bind(run);
	return err ? complain(EXIT_FAILED,
			      "portarp: the check of binds could not be exchanged: %s; repeat, or "
			      "detach and attach again",
			      strerror(-err))
		   : EXIT_DONE;
}

int portarp_replace(struct portarp_run *run)
{
	int code, err = portarp_conf_read(&run->pins, &run->conf);

	run->directory = PORTARP_STEM;
	if (err)
		return complain_pins(err, run->instance, PORTARP_STEM);
	code = check_netns(run);
	if (code == EXIT_DONE)
		code = check_words(run);
	run->may_fall_back = true; /* any device may have either hook */
	if (code == EXIT_DONE)
		code = portarp_run_load(run, true);
	return code == EXIT_DONE ? exchange(run) : code;
}
