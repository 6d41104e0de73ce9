"""Power command of the board file that the strategy writes: has the strategy switch the board. `switch.py SOCKET on|off`"""

import socket
import sys

with socket.socket(socket.AF_UNIX) as line:
    line.settimeout(60)
    line.connect(sys.argv[1])
    line.sendall(sys.argv[2].encode())
    line.shutdown(socket.SHUT_WR)
    # Nothing where it was switched; otherwise why not.
    sys.exit(line.makefile().read() or None)
