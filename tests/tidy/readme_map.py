#!/usr/bin/python3
"""Every folder of the top and every folder of src/ is named in the README's map of the tree."""

from tree import ROOT, files, verdict

readme = ROOT / "README.md"
text = readme.read_text() if readme.exists() else ""
top = {path.parts[0] for path in files() if len(path.parts) > 1 and not path.parts[0].startswith(".")}
inner = {path.parts[1] for path in files() if path.parts[0] == "src" and len(path.parts) > 2}
breaches = [f"{name}/ is not in the README" for name in sorted(top | inner) if f"{name}/" not in text]
verdict("a folder is found in the README's map, written as `name/`", breaches)
