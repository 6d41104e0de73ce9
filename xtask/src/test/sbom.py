# Reads a release's SBOM as others would: the schema, then the objects of CycloneDX's own library; and compares it with the files.
import hashlib, json, pathlib, sys
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

folder = pathlib.Path(sys.argv[1])
text = (folder / "inflight.cdx.json").read_text()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error:
    sys.exit(f"not CycloneDX 1.6: {error!r}"[:2000])
bom = Bom.from_json(json.loads(text))
bom.validate()
wrong = []
refs = {str(component.bom_ref): component for component in bom.components}
for dependency in bom.dependencies:
    for ref in [dependency.ref, *(below.ref for below in dependency.dependencies)]:
        if str(ref) not in refs and str(ref) != str(bom.metadata.component.bom_ref):
            wrong.append(f"{ref} is no component")
files = ["inflight.efi", "inflight-plain.efi", "inflight.img"]
for name in files:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if [part.content for part in refs[name].hashes] != [digest]:
        wrong.append(f"{name} has another digest")
licences = (folder / "licences/README.md").read_text().splitlines()
packages = [component for component in bom.components if component.purl and component.purl.type == "cargo"]
for component in packages:
    if (component.purl.name, component.purl.version) != (component.name, component.version):
        wrong.append(f"{component.purl} is not {component.name} {component.version}")
    if not component.hashes or not component.licenses:
        wrong.append(f"{component.name} has no digest or no licence")
    named = [line for line in licences if line.startswith(f"| {component.name} | {component.version} |")]
    texts = folder / "licences" / f"{component.name}-{component.version}"
    if len(named) != 1 or texts.is_dir() == ("none in its package" in named[0]):
        wrong.append(f"{component.name} is not among the licences")
if len(packages) < 20 or "fdt" not in {component.name for component in packages}:
    wrong.append(f"only {len(packages)} packages")
# Everything is reached from the release.
edges = {str(d.ref): [str(below.ref) for below in d.dependencies] for d in bom.dependencies}
seen, queue = set(), [str(bom.metadata.component.bom_ref)]
while queue:
    ref = queue.pop()
    if ref not in seen:
        seen.add(ref)
        queue += edges.get(ref, [])
wrong += [f"nothing links {ref}" for ref in refs if ref not in seen]
if wrong:
    sys.exit("\n".join(wrong[:20]))
print(f"{len(packages)} packages, {len(bom.components)} components")
