/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages that are made of their stream and their place there, and nothing else: who gets one can
 * make it, too, and compare. */
#ifndef ISTHMUS_SELFTESTS_LHP_MESSAGES_H
#define ISTHMUS_SELFTESTS_LHP_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

/* Up to 511 bytes, and one in a thousand up to LHP_MESSAGE_MAX; its length. */
size_t message_make(uint32_t stream, uint32_t i, uint8_t *bytes);

#endif
