import pathlib, sys
def sub(path, *pairs):
    p = pathlib.Path(path); s = p.read_text()
    for old, new, *n in pairs:
        want = n[0] if n else 1
        c = s.count(old)
        if c != want: print(f"!! {path}: {c} of {old!r}")
        s = s.replace(old, new)
    p.write_text(s)
