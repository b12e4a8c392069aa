"""A verifier's log becomes data: message, category, place, history, hint."""

from __future__ import annotations

import errno
import pickle
import random
import re
from pathlib import Path

import pytest

from pylibbpf.explain import Category, Explanation, SourceLine, explain

LOGS = Path(__file__).parent / "logs"
STATS = (
    "processed 14 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1"
    " mark_read 0\n"
)


def explained(name: str) -> Explanation:
    return explain((LOGS / f"{name}.log").read_text(), errno=errno.EACCES, program=name)


def last_line(line: str, before: str = "7: (79) r1 = *(u64 *)(r0 +0)") -> Explanation:
    return explain(f"{before}\n{line}\n{STATS}")


# ---- real logs


def test_a_null_pointer_is_followed_through_stack_and_call() -> None:
    said = explained("count")
    assert said.message == "R1 invalid mem access 'map_value_or_null'"
    assert said.category is Category.NULL_POINTER
    assert "NULL" in said.hint
    assert (said.insn, said.insn_text) == (13, "r2 = *(u64 *)(r1 +0)")
    assert said.source == SourceLine("*counter += by;", "count.bpf.c", 5)
    assert said.register == "R1"
    assert [(change.insn, change.place) for change in said.history] == [
        (6, "R0"),  # the lookup
        (7, "fp-16"),  # kept on the stack
        (9, "R1"),  # read back, and passed on
    ]
    assert {c.state for c in said.history} == {"map_value_or_null(id=1,map=h,ks=4,vs=8)"}
    assert said.history[0].source == SourceLine(
        "__u64 *counter = bpf_map_lookup_elem(&h, &key);", "count.bpf.c", 12
    )


def test_bounds_of_a_map_value_say_the_numbers() -> None:
    said = explained("index")
    assert said.message == "R0 max value is outside of the allowed memory range"
    assert said.details == ("invalid access to map value, value_size=64 off=64 size=1",)
    assert said.category is Category.MAP_VALUE_BOUNDS
    assert said.hint.startswith("1 byte(s) at offset 64 do not fit into a value of 64 bytes")
    assert [change.text for change in said.history] == ["call bpf_map_lookup_elem#1", "r0 += r1"]
    assert "umax32=64" in said.history[1].state


def test_a_leak_names_where_the_reference_came_from() -> None:
    said = explained("send")
    assert said.category is Category.REFERENCE_LEAK
    assert "instruction 5" in said.hint
    (change,) = said.history
    assert change.insn == 5
    assert change.source is not None
    assert change.source.line == 5
    assert (said.insn, said.insn_text) == (15, "exit")
    assert said.source is not None
    assert said.source.text == "if (c->id == 5)"


def test_a_core_relocation_without_match_names_the_field() -> None:
    said = explained("task")
    assert said.category is Category.CORE_RELOCATION
    assert "struct task_struct.nonesuch" in said.message
    assert "bpf_core_field_exists" in said.hint
    assert said.insn == 3
    assert said.details == ()
    assert said.source is not None
    assert said.source.line == 7


def test_the_function_is_named_where_the_verifier_names_it() -> None:
    said = explained("first")
    assert said.function == "first"
    assert said.category is Category.NULL_POINTER
    assert [(c.insn, c.text, c.state) for c in said.history] == [
        (6, "start", "mem_or_null(id=1,sz=8)")
    ]


@pytest.mark.parametrize("name", ["count", "first", "index", "send", "task"])
def test_texts_hold_everything(name: str) -> None:
    said = explained(name)
    text = said.text()
    assert text.startswith(f"{name}: {said.message}\n")
    assert said.hint in text
    assert said.place in text
    assert str(said.category) in text
    for change in said.history:
        assert str(change) in text
    assert said.place.startswith(f"{name}.bpf.c:")
    assert f"instruction {said.insn}" in said.place
    assert (said.program, said.errno) == (name, errno.EACCES)


@pytest.mark.parametrize("name", ["count", "first", "index", "send", "task"])
def test_an_explanation_is_plain_data(name: str) -> None:
    said = explained(name)
    assert pickle.loads(pickle.dumps(said)) == said
    assert hash(said) == hash(explained(name))


# ---- other kernels, other levels


def test_logs_of_kernels_before_6_8_have_lines_without_file() -> None:
    said = explain(
        "Unrecognized arg#0 type PTR\n"
        "; __u32 key = 1;\n"
        "0: (b7) r1 = 1\n"
        "; value = bpf_map_lookup_elem(&h, &key);\n"
        "1: (85) call bpf_map_lookup_elem#1\n"
        "; *value += 1;\n"
        "2: (79) r1 = *(u64 *)(r0 +0)\n"
        "R0 invalid mem access 'map_value_or_null'\n" + STATS
    )
    assert said.source == SourceLine("*value += 1;")
    assert said.source.line is None
    assert said.category is Category.NULL_POINTER
    assert said.place == "*value += 1; (instruction 2: r1 = *(u64 *)(r0 +0))"


def test_old_logs_at_level_2_have_the_state_on_the_next_line() -> None:
    said = explain(
        "0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n"
        "0: (85) call bpf_map_lookup_elem#1\n"
        "1: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R10=fp0 fp-8=mmmm????\n"
        "1: (bf) r6 = r0\n"
        "2: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0)"
        " R6_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R10=fp0 fp-8=mmmm????\n"
        "2: (79) r1 = *(u64 *)(r6 +0)\n"
        "R6 invalid mem access 'map_value_or_null'\n" + STATS
    )
    assert said.register == "R6"
    assert [(c.insn, c.place) for c in said.history] == [(0, "R0"), (1, "R6")]
    assert said.history[0].state == "map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0)"


def test_level_2_paths_that_were_not_rejected_are_left_out() -> None:
    said = explain(
        "0: R1=ctx() R10=fp0\n"
        "0: (b7) r2 = 7                        ; R2_w=7\n"
        "1: (15) if r1 == 0x0 goto pc+2        ; R1=ctx()\n"
        "2: (b7) r2 = 9                        ; R2_w=9\n"
        "3: (95) exit\n"
        "\n"
        "from 1 to 4: R1=ctx() R2=7 R10=fp0\n"
        "4: (79) r0 = *(u64 *)(r2 +0)\n"
        "R2 invalid mem access 'scalar'\n" + STATS
    )
    assert [(c.insn, c.state) for c in said.history] == [(0, "7")]
    assert said.category is Category.MEMORY_ACCESS


def test_the_narrowing_of_a_branch_is_part_of_the_history() -> None:
    said = explain(
        "0: (79) r2 = *(u64 *)(r1 +0)          ; R2_w=scalar()\n"
        "1: (25) if r2 > 0x40 goto pc+2        ; R2_w=scalar(umax=64,var_off=(0x0; 0x7f))\n"
        "2: (0f) r0 += r2                      ; R0_w=fp(off=-64) R2=scalar(umax=64)\n"
        "3: (85) call bpf_probe_read_user#112\n"
        "R2 unbounded memory access, use 'var &= const' or 'if (var < const)'\n" + STATS
    )
    assert [(c.insn, c.state) for c in said.history] == [
        (0, "scalar()"),
        (1, "scalar(umax=64,var_off=(0x0; 0x7f))"),
        (2, "scalar(umax=64)"),
    ]


def test_remarks_between_instructions_are_no_complaint() -> None:
    said = explain(
        "0: (79) r1 = *(u64 *)(r1 +0)\n"
        "func 'task_newtask' arg0 has btf_id 114 type STRUCT 'task_struct'\n"
        "1: R1_w=trusted_ptr_task_struct()\n"
        "1: (95) exit\n"
        "R0 !read_ok\n" + STATS
    )
    assert said.message == "R0 !read_ok"
    assert said.details == ()
    assert said.category is Category.UNINITIALISED


def test_states_printed_with_a_loop_are_no_message() -> None:
    said = explain(
        "5: (bf) r0 = r1                       ; frame1: R0=ctx() R1=ctx()\n"
        "6: (05) goto pc-1\n"
        "infinite loop detected at insn 6\n"
        "cur state: frame1: R0=ctx() R1=ctx() R10=fp0\n"
        "old state: frame1: R0=ctx() R1=ctx() R10=fp0\n"
        "verification time 102 usec\n"
        "stack depth 0+0\n" + STATS
    )
    assert said.message == "infinite loop detected at insn 6"
    assert said.insn == 6
    assert said.category is Category.LOOP


def test_the_remark_is_the_message_where_nothing_else_is_said() -> None:
    said = explain("Global function f() doesn't return scalar. Only those are supported.\n" + STATS)
    assert said.message.startswith("Global function f()")
    assert said.category is Category.GLOBAL_FUNCTION
    assert said.insn is None


def test_messages_of_libbpf_count_where_the_kernel_said_nothing() -> None:
    said = explain(
        "libbpf: prog 'p': BPF program load failed: Invalid argument\n"
        "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\n"
        "libbpf: failed to load object 'x.bpf.o'\n"
        "libbpf: extern (func ksym) 'bpf_nope': not found in kernel or module BTFs\n"
    )
    assert said.category is Category.MISSING_OBJECT
    assert said.message.startswith("extern (func ksym) 'bpf_nope'")


def test_a_huge_log_is_read_from_its_end() -> None:
    body = "3: (0c) w0 += w1                      ; R0_w=1 R1_w=scalar(id=1)\n" * 100_000
    said = explain(
        "Validating sum() func#1...\n; for (;;) @ big.bpf.c:7\n"
        + body
        + "BPF program is too large. Processed 1000001 insn\n"
        + STATS
    )
    assert said.category is Category.TOO_COMPLEX
    assert said.source == SourceLine("for (;;)", "big.bpf.c", 7)
    assert said.function == "sum"


# ---- every kind of complaint

SENTENCES = [
    ("R7 invalid mem access 'sock_or_null'", Category.NULL_POINTER),
    ("R7 invalid mem access 'ptr_or_null_'", Category.NULL_POINTER),
    ("R1 type=sock_common_or_null expected=sock_common, sock", Category.NULL_POINTER),
    (
        "R4 pointer arithmetic on map_value_or_null prohibited, null-check it first",
        Category.NULL_POINTER,
    ),
    ("Possibly NULL pointer passed to helper arg2", Category.NULL_POINTER),
    ("Possibly NULL pointer passed to trusted arg0", Category.NULL_POINTER),
    ("R0 invalid mem access 'inv'", Category.MEMORY_ACCESS),
    ("R0 invalid mem access 'scalar'", Category.MEMORY_ACCESS),
    ("same insn cannot be used with different pointers", Category.MEMORY_ACCESS),
    ("invalid access to packet, off=12 size=1, R1(id=0,off=12,r=0)", Category.PACKET_BOUNDS),
    ("R1 offset is outside of the packet", Category.PACKET_BOUNDS),
    ("invalid access to map value, value_size=8 off=8 size=8", Category.MAP_VALUE_BOUNDS),
    ("invalid access to memory, mem_size=4 off=400 size=4", Category.OUT_OF_BOUNDS),
    ("R7 min value is outside of the allowed memory range", Category.OUT_OF_BOUNDS),
    ("invalid write to stack R10 off=-520 size=8", Category.STACK_BOUNDS),
    ("invalid stack off=8 size=8", Category.STACK_BOUNDS),
    (
        "invalid variable-offset read from stack R2 var_off=(0x0; 0x4) off=0 size=8",
        Category.STACK_BOUNDS,
    ),
    ("invalid indirect read from stack R2 off -8+4 size 8", Category.UNINITIALISED),
    ("invalid read from stack off -8+0 size 8", Category.UNINITIALISED),
    ("R0 !read_ok", Category.UNINITIALISED),
    ("R15 is invalid", Category.UNINITIALISED),
    ("R2 min value is negative, either use unsigned or 'var &= const'", Category.UNBOUNDED),
    ("R0 unbounded memory access, make sure to bounds check any such access", Category.UNBOUNDED),
    ("R2 invalid zero-sized read: u64=[0,4]", Category.UNBOUNDED),
    (
        "math between pkt pointer and register with unbounded min value is not allowed",
        Category.UNBOUNDED,
    ),
    ("value -2147483648 makes map_value pointer be out of bounds", Category.POINTER_ARITHMETIC),
    ("R0 32-bit pointer arithmetic prohibited", Category.POINTER_ARITHMETIC),
    ("R0 pointer += pointer prohibited", Category.POINTER_ARITHMETIC),
    ("R3 pointer arithmetic on pkt_end prohibited", Category.POINTER_ARITHMETIC),
    ("R0 leaks addr as return value", Category.POINTER_LEAK),
    ("R2 leaks addr into helper function", Category.POINTER_LEAK),
    (
        "R1 pointer arithmetic of map value goes out of range, prohibited for !root",
        Category.PRIVILEGE,
    ),
    (
        "R2 variable stack access prohibited for !root, var_off=(0x0; 0x8) off=-16",
        Category.PRIVILEGE,
    ),
    (
        "'struct bpf_array' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        Category.PRIVILEGE,
    ),
    ("R1 pointer comparison prohibited", Category.PRIVILEGE),
    ("unknown func bpf_probe_write_user#36", Category.HELPER),
    ("program of this type cannot use helper bpf_sk_release#86", Category.HELPER),
    ("invalid func unknown#300", Category.HELPER),
    ("calling kernel function bpf_task_from_pid is not allowed", Category.HELPER),
    ("invalid func unknown#195896080", Category.CORE_RELOCATION),
    ("invalid func unknown#2001000003", Category.MISSING_OBJECT),
    ("BPF map 'events' is referenced but wasn't created", Category.MISSING_OBJECT),
    ("kfunc 'bpf_nope' is referenced but wasn't resolved", Category.MISSING_OBJECT),
    ("fd 1 is not pointing to valid bpf_map", Category.MISSING_OBJECT),
    ("cannot call GPL-restricted function from non-GPL compatible program", Category.GPL_ONLY),
    ("LSM programs must have a GPL compatible license", Category.GPL_ONLY),
    (
        "At program exit the register R0 has value (0x2; 0x0) should have been in (0x0; 0x1)",
        Category.RETURN_VALUE,
    ),
    (
        "At program exit the register R0 has smin=0 smax=4 should have been in [0, 1]",
        Category.RETURN_VALUE,
    ),
    ("R0 not a scalar value", Category.RETURN_VALUE),
    ("Unreleased reference id=2 alloc_insn=5", Category.REFERENCE_LEAK),
    ("tail_call would lead to reference leak", Category.REFERENCE_LEAK),
    ("R1 must be referenced when passed to release function", Category.REFERENCE),
    ("func bpf_sk_release#86 reference has not been acquired before", Category.REFERENCE),
    ("bpf_spin_unlock of different lock", Category.LOCK),
    ("bpf_spin_unlock is missing", Category.LOCK),
    ("function calls are not allowed while holding a lock", Category.LOCK),
    ("bpf_rcu_read_unlock is missing", Category.LOCK),
    ("bpf_spin_lock cannot be accessed directly by load/store", Category.SPECIAL_FIELD),
    ("R1 has no valid kptr", Category.SPECIAL_FIELD),
    ("back-edge from insn 5 to 2", Category.LOOP),
    ("infinite loop detected at insn 5", Category.LOOP),
    ("BPF program is too large. Processed 1000001 insn", Category.TOO_COMPLEX),
    ("The sequence of 8193 jumps is too complex.", Category.TOO_COMPLEX),
    ("combined stack size of 2 calls is 544. Too large", Category.STACK_SIZE),
    ("the call stack of 9 frames is too deep !", Category.CALL_DEPTH),
    ("unreachable insn 7", Category.CONTROL_FLOW),
    ("jump out of range from insn 0 to 12", Category.CONTROL_FLOW),
    ("last insn is not an exit or jmp", Category.CONTROL_FLOW),
    ("misaligned stack access off 0+-20+0 size 8", Category.MISALIGNED),
    ("invalid bpf_context access off=76 size=4", Category.CONTEXT_ACCESS),
    ("dereference of modified ctx ptr R1 off=68 disallowed", Category.CONTEXT_ACCESS),
    ("write into map forbidden, value_size=8 off=0 size=8", Category.READ_ONLY),
    ("cannot write into packet", Category.READ_ONLY),
    ("frame pointer is read only", Category.READ_ONLY),
    ("R1 type=ctx expected=fp", Category.ARGUMENT_TYPE),
    ("R1 type=scalar expected=fp, pkt, map_value", Category.ARGUMENT_TYPE),
    ("arg#0 expected pointer to ctx, but got scalar", Category.ARGUMENT_TYPE),
    ("cannot pass map_type 1 into func bpf_redirect_map#51", Category.MAP_USE),
    ("tracing progs cannot use bpf_spin_lock yet", Category.MAP_USE),
    ("Expected an initialized dynptr as arg #2", Category.DYNPTR),
    ("expected an initialized iter_num as arg #0", Category.ITERATOR),
    ("helper call might sleep in a non-sleepable prog", Category.SLEEPABLE),
    ("program must be sleepable to call sleepable kfunc bpf_x", Category.SLEEPABLE),
    ("Caller passes invalid args into func#1 ('f')", Category.GLOBAL_FUNCTION),
    ("tail_call is only allowed in functions that return 'int'.", Category.GLOBAL_FUNCTION),
    ("attach_btf_id 12 is not a function", Category.ATTACH_TARGET),
    ("do_exit() is not modifiable", Category.ATTACH_TARGET),
    ("missing btf func_info", Category.BTF),
    (
        "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.",
        Category.BTF,
    ),
    ("unknown opcode e6", Category.INSTRUCTION),
    ("div by zero", Category.INSTRUCTION),
    ("JIT does not support calling kernel function", Category.JIT),
    ("verifier internal error: no src_reg", Category.KERNEL_BUG),
    ("callback function not static", Category.CALLBACK),
    # only before 5.15 or only since 6.18
    ("R1 unbounded size, use 'var &= const' or 'if (var < const)'", Category.UNBOUNDED),
    ("Caller passes invalid args into func#1", Category.GLOBAL_FUNCTION),
    ("trace type programs can only use preallocated hash map", Category.MAP_USE),
    ("BPF_XADD stores into R1 ctx is not allowed", Category.READ_ONLY),
    ("Leaking reference id=2 alloc_insn=5. Release it first.", Category.REFERENCE_LEAK),
    ("recursive call from f() to f()", Category.CALL_DEPTH),
    ("unexpected __bpf_trap() due to uninitialized variable?", Category.UNINITIALISED),
    ("Acquiring the same lock again, AA deadlock detected", Category.LOCK),
    ("no jump tables found for subprog starting at 7", Category.CONTROL_FLOW),
    ("CAP_BPF and CAP_PERFMON are required to use arena", Category.PRIVILEGE),
    ("program requires BPF JIT compiler but it is not available", Category.JIT),
    ("liveness analysis exceeded complexity limit (7 calls)", Category.TOO_COMPLEX),
]


@pytest.mark.parametrize(("line", "category"), SENTENCES)
def test_sentences_have_their_category_and_a_hint(line: str, category: Category) -> None:
    said = last_line(line)
    assert said.message == line
    assert said.category is category
    assert said.hint
    assert not re.search(r"\{\w", said.hint), "a group of the pattern was not filled in"


def test_every_category_has_a_sentence() -> None:
    tested = {category for _, category in SENTENCES}
    assert set(Category) - tested == {Category.LOG_CUT, Category.UNKNOWN}


@pytest.mark.parametrize(
    ("line", "insn"),
    [
        ("infinite loop detected at insn 5", 5),
        ("unreachable insn 12", 12),
        ("jump out of range from insn 3 to 40", 3),
        ("jump into the middle of ldimm64 insn 9", 9),
        ("div by zero", 7),
    ],
)
def test_an_instruction_that_the_complaint_names_goes_first(line: str, insn: int) -> None:
    assert last_line(line).insn == insn


@pytest.mark.parametrize(
    ("line", "register"),
    [
        ("R7 invalid mem access 'scalar'", "R7"),
        ("Possibly NULL pointer passed to helper arg2", "R2"),
        ("Possibly NULL pointer passed to trusted arg0", "R1"),
        ("arg#1 expected pointer to stack or const struct bpf_dynptr", "R2"),
        ("invalid bpf_context access off=76 size=4", "R0"),  # the base of the access
        ("unreachable insn 12", None),
    ],
)
def test_the_register_is_found(line: str, register: str | None) -> None:
    assert last_line(line).register == register


def test_what_was_never_seen_stays_whole_and_without_category() -> None:
    said = last_line("the flux capacitor is not charged")
    assert said.message == "the flux capacitor is not charged"
    assert said.category is Category.UNKNOWN
    assert said.hint == ""
    assert said.insn == 7


@pytest.mark.parametrize(
    ("number", "category"),
    [
        (errno.ENOSPC, Category.LOG_CUT),
        (errno.E2BIG, Category.TOO_COMPLEX),
        (errno.EPERM, Category.PRIVILEGE),
        (errno.EINVAL, Category.UNKNOWN),
        (None, Category.UNKNOWN),
    ],
)
def test_an_empty_log(number: int | None, category: Category) -> None:
    said = explain("", errno=number)
    assert said.message == ""
    assert said.category is category
    assert said.place == ""
    assert said.text().startswith("the verifier gave no reason")


def test_no_text_raises() -> None:
    chance = random.Random(5)
    texts = [path.read_text() for path in LOGS.glob("*.log")]
    lines = [line for text in texts for line in text.splitlines()]
    for _ in range(300):
        some = chance.choices(lines, k=chance.randrange(30))
        damaged = "\n".join(line[: chance.randrange(len(line) + 1)] for line in some)
        explain(damaged).text()
    for text in texts:
        for cut in range(0, len(text), 7):
            explain(text[:cut]).text()
            explain(text[cut:]).text()
    explain("\0\ud800\n; @ :\n0: (\n: R=\nfrom  to : \n0: (85) call \x00\n" + "x" * 10000).text()
