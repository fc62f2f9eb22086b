// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "resoa.h"

int main(void)
{
	fprintf(stderr, "isthmus-resoa: not made yet\n");
	return 1;
}
