// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "resoad.h"

int main(void)
{
	fprintf(stderr, "isthmus-resoad: not made yet\n");
	return 1;
}
