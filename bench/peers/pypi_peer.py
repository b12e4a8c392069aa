"""The side of PyPI's pylibbpf 0.0.6, in a virtual environment of its own (same import name).

It reads no ring buffers: there is no figure for that.
"""

import json
import sys
import time

KEYS = [(i * 2654435761) & 0xFFFFFFFF for i in range(100_000)]


def load(path: str) -> dict[str, float]:
    begin, used = time.perf_counter(), time.process_time()
    import pylibbpf

    obj = pylibbpf.BpfObject(path)
    obj.load()
    obj.get_program("executed").attach()
    return {
        "load wall": (time.perf_counter() - begin) * 1e3,
        "load CPU": (time.process_time() - used) * 1e3,
    }


def data(path: str) -> dict[str, float]:
    import pylibbpf

    clock = time.thread_time
    result = {}
    obj = pylibbpf.BpfObject(path)
    obj.load()
    counts = obj["counts"]
    begin = clock()
    for key in KEYS:
        counts[key] = 7
    result["update"] = (clock() - begin) / len(KEYS) * 1e9
    total = 0
    begin = clock()
    for key in KEYS:
        total += counts[key]
    result["m[k]"] = (clock() - begin) / len(KEYS) * 1e9
    assert total == 7 * len(KEYS)
    begin = clock()
    total = sum(counts.items().values())
    result["items"] = (clock() - begin) / len(KEYS) * 1e9
    assert total == 7 * len(KEYS)
    return result


if __name__ == "__main__":
    print(json.dumps({"load": load, "data": data}[sys.argv[1]](sys.argv[2])))
