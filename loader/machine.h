/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What any datapath asks of the machine before it attaches. */
#ifndef ISTHMUS_LOADER_MACHINE_H
#define ISTHMUS_LOADER_MACHINE_H

#include <stdint.h>

/* Kernel and privileges: an exit code, with a message if it is not EXIT_DONE. */
int machine_check(const char *stem);
/* Says why the kernel did not take the programs; EXIT_FAILED. `remedy`: how to need less memory. */
int machine_complain_load(int err, const char *stem, const char *remedy);
/* A signal in the middle of an attach would leave half of it behind. */
void machine_block_signals(void);
/* This process's network namespace: its inode, and what BPF calls it. 0 or -errno. */
int machine_netns(uint64_t *inode);
int machine_netns_cookie(uint64_t *cookie);

#endif
