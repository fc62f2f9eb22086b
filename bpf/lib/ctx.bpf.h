/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fields of a program's context or of its socket, read in the one form that the verifier takes. */
#ifndef ISTHMUS_BPF_LIB_CTX_H
#define ISTHMUS_BPF_LIB_CTX_H

#include <stddef.h>
#include <linux/types.h>

/* Reads a field of a context at a constant offset; clang would join the loads of two branches into
 * one through a moved pointer, which the verifier refuses. */
#define ctx_word(type, ctx, field)                                                                 \
	({                                                                                         \
		__u64 word;                                                                        \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                              \
			     : "=r"(word)                                                          \
			     : "r"(ctx), "i"(offsetof(type, field)));                              \
		(__u32) word;                                                                      \
	})

#define ctx_address(type, ctx, field, address)                                                     \
	do {                                                                                       \
		__u32 *into = (__u32 *)(address)->b;                                               \
		into[0] = ctx_word(type, ctx, field[0]);                                           \
		into[1] = ctx_word(type, ctx, field[1]);                                           \
		into[2] = ctx_word(type, ctx, field[2]);                                           \
		into[3] = ctx_word(type, ctx, field[3]);                                           \
	} while (0)

#endif
