/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet generator's program, all of whose sessions are at one address of the relay's. */
#include "selftests/bench/lib/sessions.h"

#undef SESSIONS_ADDRESS
#define SESSIONS_ADDRESS SESSIONS_MAX

#include "selftests/bench/gen.bpf.c"
