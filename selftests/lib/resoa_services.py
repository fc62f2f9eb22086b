#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer of resoa's demo and bench serves: web, UDP echo, FTP and FTPS.

resoa_services.py ADDRESS FOLDER CERTIFICATE: HTTP on 80 says who came, UDP on 7777 says who sent, FTP on 21, FTP with TLS
on 2121, of FOLDER.
"""
import http.server
import socket
import sys
import threading

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

address, folder, certificate = sys.argv[1:]


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"you are {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 7777))
        while True:
            _, who = sock.recvfrom(2000)
            sock.sendto(f"you are {who[0]}\n".encode(), who)


def ftp():
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(folder)
    for port, handler in ((21, FTPHandler), (2121, TLS_FTPHandler)):
        handler.authorizer = authorizer
        handler.use_sendfile = False
        if handler is TLS_FTPHandler:
            handler.certfile = certificate
            handler.tls_data_required = True
        servers.append(FTPServer((address, port), handler))
    servers[0].serve_forever()  # one loop for both


servers = []
web = http.server.ThreadingHTTPServer((address, 80), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
threading.Thread(target=echo, daemon=True).start()
ftp()
