/* SPDX-License-Identifier: GPL-3.0-or-later */
/* selftests/lib/splice_wire.h - the bench's namespace and links; see splice_fixture.h. */
#ifndef ISTHMUS_SELFTESTS_SPLICE_WIRE_H
#define ISTHMUS_SELFTESTS_SPLICE_WIRE_H

#include "selftests/lib/splice_fixture.h"

/* Moves the process into a namespace of its own and makes both links there. -errno. */
int splice_wire_open(struct splice_fixture *fx);
void splice_wire_close(struct splice_fixture *fx);

/* Runs one command line of words without quoting; its exit status, or -errno. */
int splice_wire_command(const char *line);

#endif
