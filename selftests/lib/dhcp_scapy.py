#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP exchanges with frames made and read by scapy.

	dhcp_scapy.py DEVICE SERVER

Prints NAME=VALUE for the story to compare.
"""
import logging
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.config import conf  # noqa: E402
from scapy.layers.dhcp import BOOTP, DHCP  # noqa: E402
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

device, server = sys.argv[1:]
conf.checkIPaddr = False
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
raw.bind((device, 0))
raw.settimeout(1.5)


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def exchange(mac, kind, options, xid, **fields):
    """The answer to a message, or None; frames of others are passed over."""
    src = fields.pop("src", mac)
    frame = (Ether(src=src, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") /
             UDP(sport=68, dport=67) / BOOTP(op=1, chaddr=mac_bytes(mac), xid=xid, **fields) /
             DHCP(options=[("message-type", kind)] + options + ["end"]))
    raw.send(bytes(frame))
    for _ in range(50):
        try:
            got = Ether(raw.recv(2048))
        except socket.timeout:
            return None
        if BOOTP in got and got[BOOTP].op == 2 and got[BOOTP].xid == xid:
            return got
    return None


def option(frame, name):
    for entry in frame[DHCP].options:
        if isinstance(entry, tuple) and entry[0] == name:
            return entry[1]
    return None


def sums_are_right(frame):
    again = Ether(bytes(frame))
    del again[IP].chksum
    del again[UDP].chksum
    again = Ether(bytes(again))
    return again[IP].chksum == frame[IP].chksum and again[UDP].chksum == frame[UDP].chksum


SET = "v4-portparams"  # scapy's name of option 159
ASKS = ("param_req_list", [1, 3, 159])


def main():
    mac = "02:00:00:00:05:01"
    offer = exchange(mac, "discover", [("client_id", b"\xff\0\0\0\1\0\3\0\1" + mac_bytes(mac)), ASKS], 1)
    print("offer", option(offer, "message-type"), sep="=")
    print("offer_mac", offer.dst, sep="=")
    print("offer_ip", offer[IP].dst == offer[BOOTP].yiaddr, sep="=")
    print("sums", sums_are_right(offer), sep="=")
    print("set", bytes(option(offer, SET)).hex(), sep="=")
    identity = ("client_id", b"\xff\0\0\0\1\0\3\0\1" + mac_bytes(mac))
    want = [identity, ASKS, ("requested_addr", offer[BOOTP].yiaddr), ("server_id", server)]
    chosen = (159, bytes(option(offer, SET)))
    nak = exchange(mac, "request", want + [(159, bytes([6, 8, 0xfe, 0]))], 2)
    print("nak", option(nak, "message-type"), nak.dst, sep="=")
    ack = exchange(mac, "request", want + [chosen], 3)
    print("ack", option(ack, "message-type"), sep="=")
    print("ack_set", bytes(option(ack, SET)) == chosen[1], sep="=")
    exchange(mac, "decline", [identity, ("requested_addr", ack[BOOTP].yiaddr), ("server_id", server), chosen], 4)
    other = exchange(mac, "discover", [identity, ASKS], 5)
    print("declined_again", bytes(option(other, SET)) == chosen[1], sep="=")
    spoofed = exchange("02:00:00:00:05:02", "discover", [ASKS], 6, src=mac)
    print("spoofed", spoofed is None, sep="=")
    broadcast = exchange("02:00:00:00:05:03", "discover", [ASKS], 7, flags=0x8000)
    print("broadcast", broadcast.dst, broadcast[IP].dst, sep="=")
    right = exchange("02:00:00:00:05:04", "discover", [ASKS, (159, bytes([6, 8, 0, 0x34]))], 8)
    print("right_justified", right is None, sep="=")
    size = exchange("02:00:00:00:05:05", "discover", [ASKS, (159, bytes([0, 12, 0, 0]))], 9)
    print("size", option(size, SET)[1], sep="=")
    inform = exchange(mac, "inform", [identity, ("param_req_list", [1, 3, 6])], 10, ciaddr=ack[BOOTP].yiaddr)
    print("inform", option(inform, "message-type"), inform[BOOTP].yiaddr, option(inform, "lease_time"), sep="=")


main()
