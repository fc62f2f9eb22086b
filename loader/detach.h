/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Taking a datapath off: the verb is the same for all. */
#ifndef ISTHMUS_LOADER_DETACH_H
#define ISTHMUS_LOADER_DETACH_H

/* Takes everything of one directory off and removes it. *stuck: devices that could not be cleared.
 */
typedef int (*detach_remove)(const char *instance, const char *directory, unsigned int *stuck);

/* An exit code, with a message if it is not EXIT_DONE. `staging`: what a killed attach left. */
int detach(const char *instance, const char *stem, const char *staging, detach_remove remove_all);

#endif
