import sys, re, pathlib; sys.path.insert(0, "/tmp/wt/me")
from e1 import sub
T = "tests/client/"
def rx(path, *pairs):
    p = pathlib.Path(path); s = p.read_text()
    for old, new in pairs:
        s, n = re.subn(old, new, s)
        if not n: print("!! none", path, old)
    p.write_text(s)
