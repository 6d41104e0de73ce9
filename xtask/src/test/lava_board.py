# What a lab's device dictionary calls: `connect HOST:PORT`, `power URL 0|1…`, `flash FOLDER IMAGE OPTIONS`.
import os, pathlib, shutil, socket, sys, urllib.request

command, *arguments = sys.argv[1:]
if command == "connect":
    host, port = arguments[0].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as line:
        while data := line.recv(4096):
            os.write(1, data)
elif command == "power":
    for state in arguments[1:]:
        urllib.request.urlopen(urllib.request.Request(arguments[0], data=state.encode(), method="PUT"), timeout=30)
else:
    folder, image, options = map(pathlib.Path, arguments)
    (folder / "EFI/BOOT").mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder / "EFI/BOOT/BOOTAA64.EFI")
    shutil.copy(options, folder / "inflight.txt")
