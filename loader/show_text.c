// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Text for people. A value outside of a list is a line `name: value`; a list is a table. Columns
 * are as wide as the widest cell among ROWS_HELD rows, so a million rows need no more memory than
 * that.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "output.h"

#define COLUMNS	    20
#define CELL	    72
#define ROWS_HELD   256
#define RANGES_TOLD 3 /* of many, so that they fit in a cell */

static struct {
	const char *list; /* NULL outside of a list */
	bool in_record, headed;
	unsigned int columns, column; /* columns: of the first record; column: of this one */
	unsigned int rows;
	int width[COLUMNS];
	const char *kind[COLUMNS], *name[COLUMNS]; /* of the heading, of this record */
	char heading[COLUMNS][CELL];
	char cell[ROWS_HELD][COLUMNS][CELL];
} table;

static void start(void)
{
	memset(&table, 0, sizeof(table));
}

static int finish(void)
{
	return fflush(stdout) || ferror(stdout) ? -EIO : 0;
}

static void line_print(char line[COLUMNS][CELL])
{
	for (unsigned int i = 0; i < table.columns; i++)
		if (i + 1 < table.columns)
			printf("%-*s  ", table.width[i], line[i]);
		else
			printf("%s\n", line[i]);
}

static void widen(unsigned int column, const char *cell)
{
	int width = strlen(cell);

	if (width > table.width[column])
		table.width[column] = width;
}

static void rows_print(void)
{
	for (unsigned int row = 0; row < table.rows; row++)
		for (unsigned int i = 0; i < table.columns; i++)
			widen(i, table.cell[row][i]);
	if (!table.headed && table.rows) {
		printf("%s:\n", table.list);
		line_print(table.heading);
		table.headed = true;
	}
	for (unsigned int row = 0; row < table.rows; row++)
		line_print(table.cell[row]);
	table.rows = 0;
}

static void list_start(const char *name)
{
	memset(table.width, 0, sizeof(table.width));
	table.list = name;
	table.headed = false;
	table.columns = 0;
	table.rows = 0;
}

static void list_end(void)
{
	rows_print();
	if (!table.headed)
		printf("%s: none\n", table.list);
	table.list = NULL;
}

static void record_start(void)
{
	if (table.rows == ROWS_HELD)
		rows_print();
	memset(table.cell[table.rows], 0, sizeof(table.cell[0]));
	table.in_record = true;
	table.column = 0;
}

static void heading_make(unsigned int column, const char *name)
{
	unsigned int i;

	for (i = 0; name[i] && i < CELL - 1; i++)
		table.heading[column][i] = name[i] == '_' ? '-' : toupper((unsigned char)name[i]);
	table.heading[column][i] = 0;
	widen(column, table.heading[column]);
}

/* A record of another kind, as other datapaths have in `isthmus status`, begins a table of its own.
 */
static bool is_other_kind(void)
{
	bool other = table.column != table.columns;

	for (unsigned int i = 0; i < table.column && !other; i++)
		other = strcmp(table.name[i], table.kind[i]);
	return other;
}

static void kind_start(void)
{
	char record[COLUMNS][CELL];

	memcpy(record, table.cell[table.rows], sizeof(record));
	rows_print();
	memset(table.width, 0, sizeof(table.width));
	table.headed = false;
	table.columns = table.column;
	memcpy(table.kind, table.name, sizeof(table.kind));
	for (unsigned int i = 0; i < table.columns; i++)
		heading_make(i, table.name[i]);
	memcpy(table.cell[0], record, sizeof(record));
}

static void record_end(void)
{
	if (!table.columns || is_other_kind())
		kind_start();
	table.rows++;
	table.in_record = false;
}

static void text(const char *name, const char *value)
{
	if (!value)
		value = "-";
	if (!table.in_record) {
		printf("%s: %s\n", name, value);
		return;
	}
	if (table.column == COLUMNS)
		return;
	table.name[table.column] = name;
	snprintf(table.cell[table.rows][table.column++], CELL, "%s", value);
}

static void number(const char *name, uint64_t value)
{
	char written[24];

	snprintf(written, sizeof(written), "%" PRIu64, value);
	text(name, written);
}

static void boolean(const char *name, bool value)
{
	text(name, value ? "yes" : "no");
}

/* 59s, 4m05s, 2h04m, 3d02h: two units are what one looks at. */
static void seconds(const char *name, int64_t value)
{
	char written[40];

	if (value == OUTPUT_UNKNOWN)
		snprintf(written, sizeof(written), "-");
	else if (value < 60)
		snprintf(written, sizeof(written), "%" PRId64 "s", value);
	else if (value < 3600)
		snprintf(written, sizeof(written), "%" PRId64 "m%02" PRId64 "s", value / 60,
			 value % 60);
	else if (value < 86400)
		snprintf(written, sizeof(written), "%" PRId64 "h%02" PRId64 "m", value / 3600,
			 value / 60 % 60);
	else
		snprintf(written, sizeof(written), "%" PRId64 "d%02" PRId64 "h", value / 86400,
			 value / 3600 % 24);
	text(name, written);
}

static void address(const char *name, const struct isthmus_addr *value)
{
	char written[ADDRESS_TEXT];

	if (value)
		address_text(value, written);
	text(name, value ? written : NULL);
}

static void endpoint(const char *name, const struct isthmus_addr *host, uint16_t port_be)
{
	char written[ADDRESS_TEXT];

	endpoint_text(host, port_be, written);
	text(name, written);
}

static int range_text(char *written, size_t len, const struct output_range *range)
{
	return snprintf(written, len, range->low == range->high ? "%u" : "%u-%u", range->low,
			range->high);
}

static void ranges(const char *name, const struct output_range *range, unsigned int count)
{
	char written[CELL] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < count && i < RANGES_TOLD; i++) {
		used += snprintf(written + used, sizeof(written) - used, i ? "," : "");
		used += range_text(written + used, sizeof(written) - used, &range[i]);
	}
	if (count > RANGES_TOLD)
		snprintf(written + used, sizeof(written) - used, ",... (%u)", count);
	text(name, count ? written : NULL);
}

const struct output output_text = {
	.start = start,
	.finish = finish,
	.list_start = list_start,
	.list_end = list_end,
	.record_start = record_start,
	.record_end = record_end,
	.text = text,
	.number = number,
	.boolean = boolean,
	.seconds = seconds,
	.address = address,
	.endpoint = endpoint,
	.ranges = ranges,
};
