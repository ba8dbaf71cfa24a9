"""Write the bundle from which workerd runs Python without a network, from the files of npm `pyodide`.

    scripts/pyodide_bundle.py node_modules/pyodide bundle/pyodide_dev.capnp.bin

workerd downloads such a bundle unless it finds one in ``--pyodide-bundle-disk-cache-dir``. It is one Cap'n
Proto message (https://capnproto.org/encoding.html): ``Bundle { modules: List(Module) }``, of three modules.
"""

import struct
import sys
from pathlib import Path

# What the runtime forbids goes through the helpers that it offers instead.
HELPERS = "newWasmModule, wasmInstantiate, getRandomValues, monotonicDateNow, addEventListener, location"
REPLACED = {
    "new WebAssembly.Module(": "newWasmModule(",
    "WebAssembly.instantiate(": "wasmInstantiate(",
    "crypto.getRandomValues(": "getRandomValues(Module,",
    "Date.now": "monotonicDateNow",
}
PREFIX = "pyodideRuntime-internal:"
SOURCE, WASM, DATA = 0, 1, 2
INTERNAL = 2
MODULE_WORDS = 1 + 4  # one of data, four pointers


def patched(source: str) -> bytes:
    for forbidden, helper in REPLACED.items():
        source = source.replace(forbidden, helper)
    head = f'import {{ {HELPERS} }} from "pyodide-internal:builtin_wrappers";\n'
    return f"{head}{source}\nexport {{ _createPyodideModule }};\n".encode()


def bundle(modules: list[tuple[str, int, bytes]]) -> bytes:
    table, values = [], b""
    values_at = MODULE_WORDS * len(modules)  # in words, from the first module
    for index, (name, kind, content) in enumerate(modules):
        words = [struct.pack("<HHI", INTERNAL, kind, 0)]
        for pointer, value in enumerate((PREFIX.encode() + name.encode() + b"\0", content)):
            offset = values_at + len(values) // 8 - (MODULE_WORDS * index + 1 + pointer + 1)
            words.append(struct.pack("<II", offset << 2 | 1, len(value) << 3 | 2))  # a list of bytes
            values += value + bytes(-len(value) % 8)
        table += [*words, bytes(16)]
    root = struct.pack("<IHH", 0, 0, 1)  # a struct of one pointer
    list_of_modules = struct.pack("<II", 1, MODULE_WORDS * len(modules) << 3 | 7)  # a list of structs
    tag = struct.pack("<IHH", len(modules) << 2, 1, MODULE_WORDS - 1)
    segment = b"".join((root, list_of_modules, tag, *table, values))
    return struct.pack("<II", 0, len(segment) // 8) + segment


if __name__ == "__main__":
    npm, target = map(Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(
        bundle(
            [
                ("pyodide.asm", SOURCE, patched((npm / "pyodide.asm.mjs").read_text(encoding="utf-8"))),
                ("pyodide.asm.wasm", WASM, (npm / "pyodide.asm.wasm").read_bytes()),
                ("python_stdlib.zip", DATA, (npm / "python_stdlib.zip").read_bytes()),
            ]
        )
    )
