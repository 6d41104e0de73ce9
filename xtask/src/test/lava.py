# LAVA's own code, from packages unpacked at ROOT: `ROOT check JOB…`, `ROOT run JOB FOLDER [LAB]`, `ROOT signals LOG`.
import contextlib, io, json, pathlib, re, runpy, sys, types

root, command, *arguments = sys.argv[1:]
sys.path.insert(0, f"{root}/usr/lib/python3/dist-packages")
# Libraries of the system for what these jobs do not have: file systems to change, interfaces to look for.
for name in ("guestfs", "magic", "netifaces"):
    sys.modules[name] = types.ModuleType(name)

import jinja2, voluptuous, yaml
import lava_common.constants
from lava_common.schemas import validate
from lava_common.schemas.device import validate as validate_device


def job(path):
    """A job as the server takes it, or the end of this program, in words."""
    data = yaml.safe_load(pathlib.Path(path).read_text())
    try:
        validate(data)
    except voluptuous.Invalid as error:
        sys.exit(f"{pathlib.Path(path).name}: {error}")
    return data


def device(path, lab):
    """The dictionary of an emulated device, or of a lab's, whose commands are given."""
    templates = jinja2.FileSystemLoader(f"{root}/usr/share/lava-server/device-types")
    environment = jinja2.Environment(loader=templates, trim_blocks=True)
    if not lab:
        return yaml.safe_load(environment.get_template("qemu.jinja2").render(**job(path)["context"]))
    known = yaml.safe_load(environment.get_template("n1sdp.jinja2").render(**lab))
    known["actions"]["deploy"].setdefault("methods", {})["flasher"] = {"commands": lab["flasher"]}
    known["actions"]["boot"]["methods"]["minimal"] = None
    return known


def run(path, folder, lab="{}"):
    """Has the dispatcher run a job. Its log goes to the folder, as LAVA keeps one."""
    folder = pathlib.Path(folder)
    job(path)
    known = device(path, json.loads(lab))
    validate_device(known)
    (folder / "device.yaml").write_text(yaml.safe_dump(known))
    (folder / "dispatcher.yaml").write_text("dispatcher_ip: 127.0.0.1\n")
    lava_common.constants.DISPATCHER_DOWNLOAD_DIR = str(folder / "downloads")
    names = ["--device", str(folder / "device.yaml"), "--dispatcher", str(folder / "dispatcher.yaml")]
    sys.argv = ["lava-run", "--job-id", "1", "--output-dir", str(folder / "output"), *names, path]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            runpy.run_path(f"{root}/usr/bin/lava-run", run_name="__main__")
        except SystemExit as end:
            status = end.code
    lines = [line for line in said.getvalue().splitlines() if line.startswith("{")]
    (folder / "logs.yaml").write_text("".join(f"- {line}\n" for line in lines))
    results = [entry["msg"] for entry in yaml.safe_load((folder / "logs.yaml").read_text()) if entry["lvl"] == "results"]
    print(json.dumps({"status": status, "results": results}))


def signals(path):
    """What a test shell would take from a console: set, case, result."""
    from lava_dispatcher.actions.test.shell import TestShellAction

    taken, wrong = [], []
    action = TestShellAction()
    action._reset_patterns()
    action.definition = action.signal_director.test_uuid = "0_inflight"
    action.logger = types.SimpleNamespace(results=taken.append, error=wrong.append, info=lambda *_: None)
    for name, words in re.findall(action.patterns["signal"], pathlib.Path(path).read_text(errors="replace")):
        handle = {"TESTSET": action.signal_test_set, "TESTCASE": action.signal_test_case}[name]
        handle(words.split())
    print(json.dumps({"results": taken, "wrong": wrong}))


if command == "check":
    for path in arguments:
        job(path)
    print(f"{len(arguments)} jobs")
else:
    {"run": run, "signals": signals}[command](*arguments)
