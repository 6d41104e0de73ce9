# Reads all reports below a folder as others would: junit.xml by junitparser, report.json by the JSON Schema.
import json, pathlib, sys
import jsonschema, junitparser

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
wrong, number = [], 0
for path in sorted(pathlib.Path(sys.argv[2]).glob("*/report/report.json")):
    # A soak's is not different, only longer.
    if path.stat().st_size > 2_000_000:
        continue
    report = json.loads(path.read_text())
    number += 1
    for error in list(validator.iter_errors(report))[:3]:
        wrong.append(f"{path}: {error.json_path}: {error.message[:200]}")
    suites = list(junitparser.JUnitXml.fromfile(str(path.with_name("junit.xml"))))
    for run in report["runs"]:
        # A board that died and began anew runs a scenario twice.
        suite = suites.pop(next(at for at, suite in enumerate(suites) if suite.name == run["scenario"]))
        cases = {case.name: case for case in suite}
        for check in run["checks"]:
            result = {type(part).__name__ for part in cases[check["id"]].result}
            expected = check["verdict"] == check["expected"] and not (check["must_run"] and check["verdict"] == "not-covered")
            if "waived" in check or (expected and check["verdict"] != "pass"):
                right = {"Skipped"}
            else:
                right = set() if expected else {"Failure"}
            if result != right:
                wrong.append(f"{path}: {run['scenario']} {check['id']}: junitparser reads {result}, expected {right}")
        outcome = {type(part).__name__ for part in cases["run.outcome"].result}
        right = {"pass": set(), "fail": {"Failure"}, "lost": {"Error"}}[run["outcome"]]
        if outcome != right:
            wrong.append(f"{path}: {run['scenario']}: junitparser reads {outcome}, expected {right}")
if wrong:
    sys.exit("\n".join(wrong[:20]))
print(f"{number} reports")
