#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches `file` by active FTP within TLS: resoa_ftps.py ADDRESS PORT COPY. Prints what it tells the server."""
import ftplib
import ssl
import sys

ftp = ftplib.FTP_TLS(context=ssl._create_unverified_context(), timeout=8)
ftp.set_debuglevel(1)
ftp.connect(sys.argv[1], int(sys.argv[2]))
ftp.login()
ftp.prot_p()
ftp.set_pasv(False)
with open(sys.argv[3], "wb") as copy:
    ftp.retrbinary("RETR file", copy.write)
ftp.close()
