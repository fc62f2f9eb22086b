// SPDX-License-Identifier: GPL-3.0-or-later
/* One line to a JSON object, and its members. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "msg.h"

/* Depth of arrays and objects, counted before anything is built of them. */
static bool too_deep(const char *line, size_t len)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (line[i] == '\\')
				i++;
			else if (line[i] == '"')
				in_string = false;
		} else if (line[i] == '"') {
			in_string = true;
		} else if (line[i] == '{' || line[i] == '[') {
			if (++depth > MSG_DEPTH_MAX)
				return true;
		} else if ((line[i] == '}' || line[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

json_t *msg_parse(const char *line, size_t len, const char **why)
{
	json_t *message;

	if (len >= MSG_LINE_MAX) {
		*why = "a line is too long";
		return NULL;
	}
	if (too_deep(line, len)) {
		*why = "a message is nested too deeply";
		return NULL;
	}
	message = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!message) {
		*why = "a line is no JSON";
		return NULL;
	}
	if (!json_is_object(message)) {
		json_decref(message);
		*why = "a line is no JSON object";
		return NULL;
	}
	return message;
}

bool msg_get_string(const json_t *message, const char *key, const char **value)
{
	const json_t *member = json_object_get(message, key);

	if (!json_is_string(member))
		return false;
	*value = json_string_value(member);
	return true;
}

bool msg_get_integer(const json_t *message, const char *key, int64_t low, int64_t high,
		     int64_t *value)
{
	const json_t *member = json_object_get(message, key);

	if (!json_is_integer(member) || json_integer_value(member) < low ||
	    json_integer_value(member) > high)
		return false;
	*value = json_integer_value(member);
	return true;
}

bool msg_get_bool(const json_t *message, const char *key, bool *value)
{
	const json_t *member = json_object_get(message, key);

	if (!json_is_boolean(member))
		return false;
	*value = json_is_true(member);
	return true;
}

bool msg_get_id(const json_t *message, const char *key, uint64_t *value)
{
	const char *text;
	uint64_t id = 0;

	if (!msg_get_string(message, key, &text) || strlen(text) != 16)
		return false;
	for (; *text; text++) {
		if (*text >= '0' && *text <= '9')
			id = id << 4 | (uint64_t)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			id = id << 4 | (uint64_t)(*text - 'a' + 10);
		else
			return false;
	}
	*value = id;
	return true;
}

json_t *msg_json_id(uint64_t value)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, value);
	return json_string(text);
}
