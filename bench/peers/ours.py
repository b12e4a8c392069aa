"""pylibbpf's side of the benchmark: ``ours.py load|data OBJECT``, one JSON line."""

import json
import sys
import time

FILLS = 200  # of 1024 records
KEYS = [(i * 2654435761) & 0xFFFFFFFF for i in range(100_000)]


def load(path: str) -> dict[str, float]:
    begin, used = time.perf_counter(), time.process_time()
    import pylibbpf

    obj = pylibbpf.open_object(path)
    obj.load()
    obj.attach()
    return {
        "load wall": (time.perf_counter() - begin) * 1e3,
        "load CPU": (time.process_time() - used) * 1e3,
    }


def data(path: str) -> dict[str, float]:
    import pylibbpf

    clock = time.thread_time
    result = {}
    with pylibbpf.open_object(path) as obj:
        obj.programs["produce"].autoload = True
        obj.load()
        counts = obj.map("counts")
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
        total = sum(value for _, value in counts.items())
        result["items"] = (clock() - begin) / len(KEYS) * 1e9
        assert total == 7 * len(KEYS)
        events = obj.ringbuf("events", timeout=0)
        for _ in range(FILLS):
            obj.programs["produce"].test_run(ctx=bytes(8))
        total = count = 0
        begin = clock()
        for event in events:
            total += event.sequence
            count += event.pid != 0
        result["ring"] = (clock() - begin) / (FILLS * 1024) * 1e9
        assert total == FILLS * 1023 * 512, total
        assert count == FILLS * 1024
    return result


if __name__ == "__main__":
    print(json.dumps({"load": load, "data": data}[sys.argv[1]](sys.argv[2])))
