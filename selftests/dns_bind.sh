#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Questions for names whose addresses waypoints give are held until a waypoint has accepted them; nobody is locked
# out by others who ask for much. The drawing is in lib/dns_members.sh.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/dns_members.sh"

members_start
scene join
for name in hold transports repeat reject forged lost initiators subnet scarce flood scan; do scene $name; done
check "the server goes on" alive "$DNS_PID"
