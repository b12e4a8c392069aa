"""What a complaint of the verifier means: the kinds of mistakes, and a table of sentences.

The sentences are those of kernel/bpf/verifier.c, btf.c and log.c from 5.10 to 7.2, and of libbpf,
which rewrites the end of the log for what it poisoned itself.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

__all__ = ["Category", "judge"]


class Category(enum.StrEnum):
    """The kind of mistake, in words that stay the same from kernel to kernel."""

    NULL_POINTER = "possibly null pointer"
    OUT_OF_BOUNDS = "access out of bounds"
    PACKET_BOUNDS = "packet access out of bounds"
    MAP_VALUE_BOUNDS = "map value access out of bounds"
    STACK_BOUNDS = "stack access out of bounds"
    UNBOUNDED = "size or offset without bounds"
    CONTEXT_ACCESS = "invalid context access"
    MEMORY_ACCESS = "access through something that is not a pointer"
    READ_ONLY = "memory may not be written or read here"
    MISALIGNED = "misaligned access"
    UNINITIALISED = "uninitialised value"
    ARGUMENT_TYPE = "wrong kind of argument"
    POINTER_ARITHMETIC = "pointer arithmetic"
    POINTER_LEAK = "pointer leak"
    PRIVILEGE = "needs more privilege"
    HELPER = "helper or kernel function not available"
    GPL_ONLY = "needs a GPL-compatible licence"
    SLEEPABLE = "sleeping where it is not allowed"
    RETURN_VALUE = "return value out of range"
    REFERENCE_LEAK = "reference not released"
    REFERENCE = "misuse of a reference"
    LOCK = "misuse of a lock or critical section"
    LOOP = "loop without an end"
    TOO_COMPLEX = "program too complex"
    STACK_SIZE = "stack too large"
    CALL_DEPTH = "calls too deep"
    CONTROL_FLOW = "broken control flow"
    INSTRUCTION = "invalid instruction"
    CORE_RELOCATION = "CO-RE relocation without a match"
    MISSING_OBJECT = "map or kernel function is missing"
    MAP_USE = "map cannot be used like this"
    SPECIAL_FIELD = "special field of a map value"
    DYNPTR = "misuse of a dynptr"
    ITERATOR = "misuse of an iterator"
    CALLBACK = "invalid callback"
    GLOBAL_FUNCTION = "call of a global function"
    BTF = "type information (BTF)"
    ATTACH_TARGET = "attach target"
    JIT = "not possible without the JIT or on this machine"
    KERNEL_BUG = "fault inside the verifier"
    LOG_CUT = "log cut short"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rule:
    category: Category
    pattern: re.Pattern[str]
    hint: str
    weak: bool = False


def _on(pattern: str, hint: str) -> tuple[re.Pattern[str], str]:
    return re.compile(pattern), hint


def _rules(
    category: Category, *rows: tuple[re.Pattern[str], str], weak: bool = False
) -> tuple[Rule, ...]:
    return tuple(Rule(category, pattern, hint, weak) for pattern, hint in rows)


_C = Category
_CHECK_NULL = "compare it with NULL, and use it only on the side where it is not NULL"
_BOUNDS = (
    "check it against its limit in the lines before, or mask it (x &= SIZE - 1); the check must be"
    " on the very variable used, and it must be unsigned"
)

RULES: tuple[Rule, ...] = (
    *_rules(
        _C.KERNEL_BUG,
        _on(
            r"verifier (?:internal error|bug|BUG)|^BUG|internal bug|misconfigured|Verifier bug|"
            r"REG INVARIANTS VIOLATION|BPF_PTR_POISON|(?:invalid|unknown) return type \d+ of func|"
            r"not eliminated in verifier pass|Please fix kernel|[Ff]ailed to (?:push state|"
            r"retrieve map|"
            r"mark s32|acquire lock state|properly init)|allocated_stack too small|"
            r"inconsistent KF_|"
            r"poke descriptor failed|tracking tail call",
            "this is a fault of the kernel, not of the program: report it, or try another kernel",
        ),
    ),
    *_rules(
        _C.PRIVILEGE,
        _on(
            r"prohibited for !root|Spectre v1|could not be pushed for speculative verification|"
            r"pointer arithmetic with it|tried to \w+ beyond pointer bounds",
            "this is refused without CAP_PERFMON (with it the kernel trusts the program not to"
            " leak pointers by speculation): run with CAP_BPF and CAP_PERFMON, or rewrite the"
            " arithmetic with constants",
        ),
    ),
    *_rules(
        _C.JIT,
        _on(
            r"JIT (?:is required|doesn't|does not|compiler)|JITed|not supported by jit|"
            r"only supported on 64-bit|mixing of tail_calls and bpf-to-bpf",
            "this needs the kernel's JIT compiler (sysctl net.core.bpf_jit_enable=1), and one for"
            " this machine that supports it",
        ),
    ),
    *_rules(
        _C.MAP_USE,
        _on(
            r"progs? cannot use bpf_\S+ yet|bpf_struct_ops map cannot|"
            r"only one cgroup storage|Only one arena|offload device mismatch|"
            r"cannot update sockmap in this context|callback function not allowed for map|"
            r"no direct value access support|invalid arg_type for sockmap|an? associated arena|"
            r"arena's user|"
            r"preallocated hash map|run-time allocated hash|excl_prog_hash|NMI unsafe fields|"
            r"^Invalid (?:map_|btf_|numa_node|excl_|attr)",
            "this type of map, or what its value holds, is not open to this program type",
        ),
    ),
    *_rules(
        _C.SPECIAL_FIELD,
        _on(
            r"cannot be accessed (?:directly by load/store|indirectly by helper)|"
            r"access (?:cannot have variable offset|misaligned expected|size must be BPF_DW)|"
            r"store to uptr",
            "this field of the map value belongs to the kernel: only its helpers may touch it",
        ),
    ),
    *_rules(
        _C.CORE_RELOCATION,
        _on(
            r"failed to resolve CO-RE relocation (?P<relo><\w+> .*)",
            "the running kernel has nothing that matches {relo}; guard the access with"
            " bpf_core_field_exists() / bpf_core_type_exists(), or describe the other layout in a"
            " second struct (name___suffix)",
        ),
        _on(
            r"<invalid CO-RE relocation>|unknown#195896080|relo #\d+: .*(?:no matching|failed to)|"
            r"target candidate search failed|relo #\d+: bad type id",
            "the running kernel has no such type, field or enum value; guard the access with"
            " bpf_core_field_exists() / bpf_core_type_exists() / bpf_core_enum_value_exists()",
        ),
        _on(
            r"Invalid core_relo\[|nonzero tailing record in core_relo",
            "the object's CO-RE records are damaged: compile it again",
        ),
    ),
    *_rules(
        _C.MISSING_OBJECT,
        _on(
            r"BPF map '(?P<map>[^']*)' is referenced but wasn't created|<invalid BPF map ref",
            "the program uses a map that was not created: leave its autocreate on, or switch this"
            " program's autoload off",
        ),
        _on(
            r"kfunc '(?P<kfunc>[^']*)' is referenced but wasn't resolved|<invalid kfunc call>|"
            r"extern \(func ksym\) '(?P<ksym>[^']*)': (?:not found|.*incompatible)",
            "this kernel does not export that kernel function (too old, not configured, or another"
            " signature); declare it __weak and test it with bpf_ksym_exists()",
        ),
        _on(
            r"unknown#200[12]\d{6}",
            "the program uses a map or a kernel function that libbpf left out",
        ),
        _on(
            r"extern (?:\(var ksym\) |\(kcfg\) )?'(?P<extern>[^']*)'.*(?:not found|failed|isn't)",
            "this kernel has no such symbol or configuration value; declare it __weak",
        ),
        _on(
            r"fd -?\d+ is not pointing to valid bpf_map|fd_idx without fd_array",
            "the instruction names a map by a descriptor that is none: load the object through a"
            " loader that creates its maps first",
        ),
    ),
    *_rules(
        _C.NULL_POINTER,
        _on(
            r"invalid mem access '(?P<kind>\w*_?or_null_?\w*)'",
            "the pointer may be NULL (a map lookup may find nothing, a reservation may fail): "
            + _CHECK_NULL,
        ),
        _on(r"type=(?P<kind>\S*or_null\S*) *expected=", "the argument may be NULL: " + _CHECK_NULL),
        _on(
            r"pointer arithmetic on \S+ prohibited, null-check it first",
            "the pointer may be NULL: " + _CHECK_NULL + ", before adding to it",
        ),
        _on(
            r"Possibly NULL pointer passed to|(?:is expected to be|must be|should be) non-NULL|"
            r"arg#?\d+ .*(?:maybe|may be) NULL",
            "the argument may be NULL: " + _CHECK_NULL,
        ),
        _on(
            r"leads to invalid memory access when NULL|NULL pointer dereference",
            "the pointer may be NULL: " + _CHECK_NULL,
        ),
    ),
    *_rules(
        _C.PACKET_BOUNDS,
        _on(
            r"invalid access to packet|offset is outside of the packet|out of the packet",
            "the packet may be shorter: compare with data_end first, as in"
            " `if ((void *)(hdr + 1) > data_end) return ...;`, and read both pointers again"
            " after any helper that may change the packet",
        ),
        _on(
            r"helper access to the packet is not allowed",
            "this helper may not read packet memory directly in this program type: copy the bytes"
            " to the stack first",
        ),
    ),
    *_rules(
        _C.MAP_VALUE_BOUNDS,
        _on(
            r"invalid access to map value(?: pointer)?, value_size=(?P<size>\d+) off=(?P<off>-?\d+)"
            r" size=(?P<n>\d+)",
            "{n} byte(s) at offset {off} do not fit into a value of {size} bytes; " + _BOUNDS,
        ),
        _on(r"invalid access to map value", "the access lies outside the map's value; " + _BOUNDS),
        _on(r"invalid access to map key", "the access lies outside the map's key"),
    ),
    *_rules(
        _C.UNINITIALISED,
        _on(
            r"^R0 !read_ok",
            "the function can end without setting its return value (R0): return a value on every"
            " path; a call may also have clobbered it",
        ),
        _on(
            r"^R(?P<number>\d+) !read_ok",
            "R{number} holds nothing on this path: a variable is used before it is set, an"
            " argument is missing, or a call clobbered it (calls destroy R0 to R5)",
        ),
        _on(
            r"^R(?P<number>\d+) is invalid|^R\d+ has no value",
            "the instruction names a register that does not exist (there are R0 to R10)",
        ),
        _on(
            r"(?:invalid|uninit)(?: indirect)?(?: access to)?(?: read from)? stack "
            r"(?:R\d+ )?(?:off|var_off) \S+\+\d+ size \d+",
            "part of the memory on the stack was never written (padding of a struct counts): set"
            " it to zero as a whole, e.g. `struct key k = {{}};` or __builtin_memset",
        ),
        _on(
            r"invalid indirect read from stack|invalid read from stack off -?\d+\+|"
            r"uninit stack in range of var-offset|slot poisoned by dead code",
            "part of the memory on the stack was never written (padding of a struct counts): set"
            " it to zero as a whole, e.g. `struct key k = {{}};` or __builtin_memset",
        ),
    ),
    *_rules(
        _C.UNINITIALISED,
        _on(
            r"stack arg\d+ is not initialized|invalid read from stack arg",
            "an argument beyond the fifth is missing: it goes through the stack",
        ),
        _on(
            r"__bpf_trap\(\) due to uninitialized",
            "the compiler found that a variable is used before it is set, and put a trap there:"
            " look at its warnings (-Wall)",
        ),
    ),
    *_rules(
        _C.STACK_BOUNDS,
        _on(
            r"invalid (?:zero-sized )?(?:indirect )?(?:access|read|write)?(?: from| to)? ?stack"
            r"(?: type)? ?R\d+ (?:off|var_off)|invalid stack off=|"
            r"invalid(?: read from| write to)? stack R\d+ off=",
            "the access lies outside the stack frame (512 bytes, below R10) or outside the"
            " variable: check size and index",
        ),
        _on(
            r"invalid (?:unbounded )?variable-offset|variable offset stack pointer|"
            r"variable stack (?:access|read|write)|(?:var-offset|variable-offset)",
            "an array on the stack is indexed by a value whose range is not known: " + _BOUNDS,
        ),
    ),
    *_rules(
        _C.STACK_SIZE,
        _on(
            r"combined stack size of \d+ calls is (?P<size>\d+)|"
            r"stack size (?:of subprog \d+ is )?(?P<size2>\d+)|"
            r"tail_calls are not allowed when call stack of previous frames is",
            "functions that call each other share 512 bytes of stack (256 with tail calls): move"
            " large variables into a per-CPU array map, or make fewer nested calls",
        ),
        _on(
            r"Looks like the BPF stack limit|stack depth \d+ exceeds",
            "a function may use 512 bytes of stack: move large variables into a per-CPU array map",
        ),
    ),
    *_rules(
        _C.PRIVILEGE,
        _on(
            r"allowed (?:only )?(?:to|for) CAP_\w+|CAP_\w+(?: and CAP_\w+)? (?:is|are) required|"
            r"require[sd]? CAP_\w+|capability",
            "the process lacks the capability named in the message",
        ),
        _on(
            r"pointer comparison prohibited|attempt to corrupt spilled pointer|"
            r"tail_call abusing map_ptr|leaking pointer from stack",
            "this is refused without CAP_PERFMON: run with CAP_BPF and CAP_PERFMON",
        ),
    ),
    *_rules(
        _C.POINTER_LEAK,
        _on(
            r"leaks addr as return value",
            "a kernel address would be returned (refused without CAP_PERFMON): return a number",
        ),
        _on(
            r"leaks addr into|partial copy of pointer|sign-extension part of pointer",
            "a kernel address would get into memory that others can read: store a number, or what"
            " the pointer points to",
        ),
        _on(
            r"cannot return stack pointer to the caller",
            "a function may not return the address of its own variable",
        ),
        _on(
            r"cannot spill pointers to stack into stack frame of the caller",
            "a function may not store the address of its own variable in its caller's frame",
        ),
    ),
    *_rules(
        _C.GPL_ONLY,
        _on(
            r"non-GPL compatible program|GPL[- ]restricted|must have a GPL compatible license",
            'declare the licence: char LICENSE[] SEC("license") = "GPL"; (this function is only'
            " for programs under a licence compatible with the GPL)",
        ),
    ),
    *_rules(
        _C.SLEEPABLE,
        _on(
            r"program must be sleepable|can only be sleepable|might sleep in a non-sleepable|"
            r"sleepable (?:helper|kfunc)|is sleepable within|helper call might sleep|"
            r"sleepable global function|cannot be sleepable|is not sleepable|"
            r"programs can be sleepable|Sleepable programs can only use|"
            r"in (?:rcu_read_lock|non-preemptible|IRQ-disabled|non-sleepable) (?:region|context)",
            "this may sleep: it needs a sleepable program (SEC names with .s, such as lsm.s/ or"
            " fentry.s/), outside rcu_read_lock, spin locks and disabled preemption",
        ),
    ),
    *_rules(
        _C.HELPER,
        _on(
            r"^invalid func (?P<func>\S+#\d+)",
            "this kernel has no helper with that number: it is too old for the program",
        ),
        _on(
            r"unknown func (?P<func>\S+)",
            "the helper {func} does not exist in this kernel, or not for this program type: look at"
            " the program's SEC(), and at the kernel version that brought the helper",
        ),
        _on(
            r"program of this type cannot use helper (?P<func>\S+)",
            "the helper {func} exists, but not for this program type: use another one or another"
            " SEC()",
        ),
        _on(
            r"func \S+ supported only for|func \S+ not supported for program type|"
            r"func \S+ is not supported|helper call is not allowed in probe|"
            r"BPF_LD_\[ABS\|IND\] instructions not allowed for this program type",
            "this is not offered to this program type (or the place where it is attached)",
        ),
        _on(
            r"calling kernel function (?P<func>\S+) is not allowed",
            "the kernel function {func} is not open to this program type: use another SEC()",
        ),
        _on(
            r"kernel btf_id \d+ is not a|cannot find address for kernel function|"
            r"failed to find BTF for kernel function|does not have a valid func_proto|"
            r"too many different (?:kernel function calls|module BTFs)|"
            r"calling kernel function is not supported|BTF fd for kfunc|kfunc offset > 0|"
            r"negative offset disallowed for kernel module|address of kernel function",
            "the call of a kernel function cannot be resolved in this kernel or its modules",
        ),
        _on(
            r"bpf_timer cannot be used for PREEMPT_RT|_wq cannot be used|metadata kfuncs|"
            r"kernel func_id \d+ is out of range",
            "this kernel's configuration does not offer it",
        ),
    ),
    *_rules(
        _C.RETURN_VALUE,
        _on(
            r"should have been in (?P<range>[\[(].*[\])])",
            "on this path the function returns something outside {range}, which is all that this"
            " hook accepts: look at its allowed return codes",
        ),
        _on(
            r"(?:At (?:program|subprogram|callback|async callback) (?:exit|return)|In async"
            r" callback).*is not a (?:known|scalar) value|^R0 not a scalar value",
            "the function must return a number on every path, not a pointer",
        ),
        _on(
            r"that attach to void LSM hooks can't modify return value",
            "this hook has no return value to change: do not call bpf_set_retval in it",
        ),
    ),
    *_rules(
        _C.REFERENCE_LEAK,
        _on(
            r"(?:Unreleased|Leaking) reference id=\d+ alloc_insn=(?P<origin>\d+)",
            "what was acquired at instruction {origin} is not given back on this path: release,"
            " submit or discard it before every return (error paths too)",
        ),
        _on(
            r"cannot be mixed with socket references|__ref argument cannot tail call|"
            r"[Uu]nreleased (?:dynptr|reference)",
            "something acquired (a socket, a ring buffer record, a task) is not given back on"
            " this path: release, submit or discard it before every return",
        ),
    ),
    *_rules(
        _C.LOCK,
        _on(
            r"(?:bpf_local_irq_restore|bpf_preempt_enable|bpf_rcu_read_unlock|bpf_spin_unlock)"
            r"(?:\(s\))?.* (?:is|are) missing",
            "a critical section is left open on this path: close it before every return",
        ),
        _on(
            r"(?:function calls|global function calls) are not allowed (?:while|with)",
            "no calls while a lock is held or preemption is off (a static function may do)",
        ),
        _on(
            r"cannot be used inside bpf_\w+-ed region",
            "a critical section is still open here: close it (unlock) before",
        ),
        _on(
            r"bpf_(?:res_)?spin_(?:un)?lock|Locking two|AA deadlock|_unlock (?:without|of|cannot)|"
            r"'struct \S*_lock'|held lock and object|"
            r"_lock has to be|'struct bpf_\w*spin_lock'|spin_\{lock",
            "a lock is taken and given back once, on the same value, on every path, and nothing"
            " else may touch it",
        ),
        _on(
            r"RCU critical section|rcu (?:read )?(?:un)?lock|rcu_read_(?:un)?lock|rcu read|"
            r"preemption|"
            r"restore irq|irq (?:flag|state|save)|IRQ",
            "critical sections must be closed in the reverse order and on every path",
        ),
    ),
    *_rules(
        _C.REFERENCE,
        _on(
            r"must be referenced|reference has not been acquired|expects refcounted|"
            r"is an unacquired reference|must be (?:referenced|trusted)|must be a rcu pointer|"
            r"allocated object must be referenced|neither owning or non-owning|non-owning ref|"
            r"has no refcount|must have zero offset when passed to release|"
            r"release (?:function|kernel function)|unowned|cannot release",
            "only a pointer that an acquiring function returned (and that was not released yet,"
            " nor changed) may be passed here",
        ),
        _on(
            r"expected (?:pointer to )?(?:allocated object|an allocated)|"
            r"allocated object|bpf_(?:percpu_)?obj_(?:new|drop)|refcount",
            "pass the pointer that bpf_obj_new() returned, as it is",
        ),
        _on(
            r"rbtree|list_(?:head|node)|rb_(?:root|node)|graph (?:root|node)|"
            r"operation on \S+ expects arg#1|arg#1 offset=",
            "nodes go only into the list or tree their type was declared for (__contains), under"
            " its lock",
        ),
    ),
    *_rules(
        _C.DYNPTR,
        _on(
            r"dynptr|DYNPTR|cannot pass in \w+ at an offset|has to be at a constant offset",
            "a dynptr lives on the stack, is made by one function (bpf_dynptr_from_*,"
            " bpf_ringbuf_reserve_dynptr), is not copied, overwritten or used after release",
        ),
    ),
    *_rules(
        _C.ITERATOR,
        _on(
            r"iter_\w+ as |iterator on stack|valid iter pointer|css_task_iter is only|"
            r"iter_\w+ reference|expected an RCU CS when using",
            "an iterator is made by its _new function, advanced by _next until NULL and always"
            " ended by _destroy; it lives on the stack",
        ),
    ),
    *_rules(
        _C.SPECIAL_FIELD,
        _on(
            r"kptr",
            "a kernel pointer in a map value is read, stored and exchanged only as a whole"
            " (bpf_kptr_xchg), with its own type",
        ),
        _on(
            r"map '\S*' has no valid|has no valid bpf_|has to have BTF in order to use|"
            r"doesn't point to 'struct bpf_\w+'|"
            r"doesn't have constant offset|has to be at the constant offset|pointer in R1 map_uid|"
            r"doesn't match map pointer|bpf_timer|bpf_wq|not found at offset=",
            "the map's value needs this field in its BTF type, and the helper must get the"
            " address of exactly that field of a value of that map",
        ),
    ),
    *_rules(
        _C.CONTEXT_ACCESS,
        _on(
            r"invalid (?:bpf_context access|access to context, ctx_size=\d+) off=(?P<off>-?\d+)"
            r" size=(?P<n>\d+)",
            "{n} byte(s) at offset {off} of the context are not open to this program type (or not"
            " for writing, or not in this width): look at the context struct and the SEC()",
        ),
        _on(
            r"(?:dereference of modified|negative offset|variable) ctx|"
            r"(?:negative offset|dereference of modified|variable) \S+ (?:ptr|access)",
            "the pointer must be used as it was given, with constant offsets only: the compiler"
            " moved it; read the field into a variable first (volatile, or barrier_var)",
        ),
        _on(
            r"(?:access|offset) to flow keys|invalid (?:sock|sock_common|tcp_sock|xdp_sock|"
            r"\w*sock\w*)"
            r" access off=|cannot be narrow",
            "this field cannot be read at that offset or in that width",
        ),
        _on(
            r"func '.*' (?:offset \d+ is not multiple|doesn't have \d+-th|size \d+ must be 8|"
            r"arg\d+ .*has type)|invalid btf_id for context argument",
            "the hook's function has no such argument, or not of this type: compare the program's"
            " signature with the kernel's function",
        ),
        _on(
            r"struct \S+ doesn't have field at offset|access beyond (?:struct|the end of member)|"
            r"cannot access ptr member|is not a struct$|direct access to .* is disallowed|"
            r"field \S+ doesn't have size",
            "the kernel's struct has no such field there: compile against this kernel's types, or"
            " with CO-RE (preserve_access_index)",
        ),
        _on(
            r"at the time of BPF_LD_ABS\|IND R6 != pointer to skb",
            "legacy packet loads need the context in R6",
        ),
    ),
    *_rules(
        _C.READ_ONLY,
        _on(
            r"(?:write into|read from) map forbidden",
            "the map was made read-only or write-only for programs (BPF_F_RDONLY_PROG,"
            " BPF_F_WRONLY_PROG, frozen .rodata)",
        ),
        _on(
            r"cannot write into|only read (?:from .* )?is supported|may write into memory|"
            r"write to change key|frame pointer is read only|does not allow writes to packet|"
            r"BPF_(?:ATOMIC|XADD|ST) (?:stores into|loads from)|cannot be written",
            "this memory may only be read (or not written in this way) by this program",
        ),
        _on(
            r"is ptr_\S+ access (?:user|percpu) memory",
            "use bpf_probe_read_user() (user memory) or bpf_per_cpu_ptr() (per-CPU memory)",
        ),
    ),
    *_rules(
        _C.MISALIGNED,
        _on(
            r"misaligned (?:\w+ )?access",
            "the access is not aligned to its size: change the layout, or read byte by byte"
            " (__builtin_memcpy)",
        ),
    ),
    *_rules(
        _C.ARGUMENT_TYPE,
        _on(
            r"type=(?P<kind>inv|scalar) *expected=(?P<wanted>.*)",
            "a number is passed where the function wants a pointer ({wanted}); the verifier has"
            " lost track of it if it went through memory or arithmetic: read memory of the kernel"
            " or of a process by bpf_probe_read_kernel() or _user()",
        ),
        _on(
            r"type=(?P<kind>\S+) *expected=(?P<wanted>.*)",
            "the function wants {wanted} here, but gets {kind}",
        ),
        _on(
            r"is of type \S+ but \S+ is expected|expected pointer to (?:ctx|stack|func|scalar)|"
            r"arg#?\d+ expect|kernel function \S+ args#\d+|must be a known constant|"
            r"is not a known constant|is not a const(?:ant address)?|isn't map pointer|"
            r"is not a scalar|is not a pointer to arena|Helper has invalid btf|"
            r"doesn't point to a (?:const string|map value)|arg#\d+ (?:is|has|pointer)|"
            r"does not point to a readonly map|string is not zero-terminated|"
            r"direct value access|Invalid format string|non-overwritten BPF_PTR_POISON|"
            r"Unrecognized arg|constant argument|invalid map_ptr to access|"
            r"expects pointer to ctx|kernel function \S+ \S+ (?:pointer type|expected pointer)|"
            r"buf_size exceeds|Unrecognized \S+ type|expected .* or socket|Unknown type ID|"
            r"memory size \d+ is too large|as const string|is not a pointer$|prog->aux cannot|"
            r"in-kernel struct with non-zero offset|max struct nesting depth|"
            r"kernel function \S+ (?:returns|unhandled)|"
            r"conversion of owning ref|struct doesn't have a name|type isn't a pointer|"
            r"should be void pointer|should be `struct|type doesn't have a name|"
            r"Unsupported reg type|type ID argument|must be in range|"
            r"doesn't support non-zero flags|reference type\(",
            "the argument is not of the kind that this function takes",
        ),
    ),
    *_rules(
        _C.UNBOUNDED,
        _on(
            r"min value is negative, either use unsigned",
            "the size may be negative for all the verifier knows: make the variable unsigned, or"
            " check that it is at least 0",
        ),
        _on(
            r"invalid zero-sized read",
            "the size may be 0, which this function does not take: check that it is at least 1",
        ),
        _on(
            r"unbounded (?:memory access|size)",
            "the size or index has no upper limit here: " + _BOUNDS,
        ),
        _on(
            r"math between \S+ pointer and register with unbounded|"
            r"(?:smin|umin|unbounded) .*pointer",
            "what is added to the pointer has no known range: " + _BOUNDS,
        ),
    ),
    *_rules(
        _C.POINTER_ARITHMETIC,
        _on(
            r"math between (?P<kind>\S+) pointer and|pointer offset -?\d+ is not allowed|"
            r"makes \S+ pointer be out of bounds",
            "the result may lie far outside the memory pointed to: check the number's range before,"
            " and make it unsigned",
        ),
        _on(
            r"32-bit pointer arithmetic prohibited",
            "pointers are calculated in 64 bits: cast the number to __u64 before adding it",
        ),
        _on(
            r"pointer arithmetic|pointer [-+|&^*/%<>]+=? pointer prohibited|"
            r"tried to subtract pointer|subtraction from stack pointer|bitwise operator|"
            r"pointer \S+ pointer prohibited",
            "only adding or subtracting a number is allowed, and only on pointers whose size the"
            " verifier knows (stack, map value, packet, memory)",
        ),
    ),
    *_rules(
        _C.MEMORY_ACCESS,
        _on(
            r"invalid mem access '(?P<kind>inv|scalar)'",
            "the verifier sees a number here, not a pointer: read memory of the kernel or of a"
            " process by bpf_probe_read_kernel() or _user() (BPF_CORE_READ); or a map lookup's"
            " pointer went through memory or arithmetic where the verifier lost it",
        ),
        _on(
            r"invalid mem access '(?P<kind>map_ptr|ptr_to_map)'",
            "a map is used as if it were memory: look the element up first (bpf_map_lookup_elem)",
        ),
        _on(
            r"invalid mem access '(?P<kind>[^']*)'",
            "memory cannot be read or written through a pointer of kind '{kind}'",
        ),
        _on(
            r"is ptr_\S+ invalid|is \S+ invalid negative access|invalid (?:variable )?buffer|"
            r"invalid \S+ (?:buffer )?access|map_ptr access not supported",
            "the access lies outside what the pointer points to",
        ),
        _on(
            r"same insn cannot be used with different pointers",
            "two branches meet in one load or store with pointers of different kinds (the"
            " compiler merged them): keep them apart with barrier_var() or asm volatile",
        ),
        _on(
            r"invalid size of register (?:fill|spill)",
            "a pointer on the stack is stored and read as 8 whole bytes",
        ),
    ),
    *_rules(
        _C.OUT_OF_BOUNDS,
        _on(
            r"invalid access to memory, mem_size=(?P<size>\d+) off=(?P<off>-?\d+) size=(?P<n>\d+)",
            "{n} byte(s) at offset {off} do not fit into {size} bytes of memory; " + _BOUNDS,
        ),
    ),
    *_rules(
        _C.LOOP,
        _on(
            r"infinite loop detected at insn (?P<insn>\d+)",
            "the loop can come back to the same state: let its counter change on every round, or"
            " use bpf_for() / bpf_loop()",
        ),
        _on(
            r"back-edge from insn (?P<insn>\d+) to \d+",
            "the program jumps backwards, which this kernel or privilege level does not allow:"
            " unroll the loop (#pragma unroll), or use bpf_loop()",
        ),
    ),
    *_rules(
        _C.TOO_COMPLEX,
        _on(
            r"BPF program is too large|Processed \d+ insn",
            "the verifier followed more than a million instructions: bound loops lower, use"
            " bpf_loop() or bpf_for(), move parts into global functions (checked once), or into"
            " tail calls",
        ),
        _on(
            r"sequence of \d+ jumps is too complex|too many (?:states|subprogs|subprograms)|"
            r"loop iteration limit|iteration limit reached|liveness analysis exceeded|"
            r"too many iterations",
            "too many branches are open at once: use fewer nested conditions, bpf_loop() or global"
            " functions",
        ),
        _on(
            r"number of (?:maps|btfs) per program has reached|used maps|program too large",
            "the program uses more than the kernel allows in one program: split it",
        ),
    ),
    *_rules(
        _C.CALL_DEPTH,
        _on(
            r"call stack of \d+ frames is too deep",
            "at most 8 functions may be nested: inline some",
        ),
    ),
    *_rules(
        _C.CALL_DEPTH,
        _on(r"recursive call from", "functions may not call themselves, not even through others"),
    ),
    *_rules(
        _C.CONTROL_FLOW,
        _on(
            r"jump tables?\b|insn_array|PTR_TO_INSN|to any offset in map|sum of R\d+ um\w+_value",
            "the table of an indirect jump (a switch) does not fit the code: compile with"
            " -fno-jump-tables",
        ),
        _on(
            r"unreachable insn (?P<insn>\d+)",
            "no path leads to this instruction, and unused code is refused: remove it (or a"
            " function that never returns stands before it)",
        ),
        _on(
            r"jump out of range from insn (?P<insn>\d+) to|"
            r"jump into the middle of ldimm64 insn (?P<insn2>\d+)|"
            r"last insn is not an exit or jmp|invalid insn idx|call to invalid destination|"
            r"No program starts at insn",
            "the code runs past its function's end or jumps to nowhere: let every path return; a"
            " CO-RE or hand-made object may also be cut off (undefined behaviour in C does that)",
        ),
    ),
    *_rules(
        _C.MAP_USE,
        _on(
            r"cannot pass map_type (?P<kind>\d+) into func (?P<func>\S+)",
            "the helper {func} does not work on this type of map",
        ),
        _on(
            r"direct value offset of \d+ is not allowed", "the address lies outside the map's value"
        ),
    ),
    *_rules(
        _C.CALLBACK,
        _on(
            r"callback|exception cb|rbtree cb|bpf_throw",
            "the callback must be a static function with the arguments that the helper calls it"
            " with, and return 0 or 1",
        ),
    ),
    *_rules(
        _C.GLOBAL_FUNCTION,
        _on(
            r"doesn't return scalar|return value not void or scalar|is a packet pointer, but func#|"
            r"combined with any other tags|> \d+ args|"
            r"Arg#\d+ type .* in .* is not supported yet|Buggy compiler|"
            r"arg#\d+ type tag|invalid combination of tags|unsupported set of tags|"
            r"in functions that return 'int'|not allowed in subprogs without BTF",
            "global functions are checked on their own, by their prototype: at most 5 arguments"
            " (numbers, context, pointers to sized types, to be checked for NULL), returning a"
            " number; make it static to be checked with its caller",
        ),
    ),
    *_rules(
        _C.ATTACH_TARGET,
        _on(
            r"Attaching tracing programs to function|attach_btf_id \d+ is not a|attach_btf_id|"
            r"must provide btf_id|"
            r"failed to find kernel BTF type ID of '(?P<target>[^']*)'",
            "the function or hook named in SEC() is not in this kernel's BTF: it may be inlined,"
            " renamed, static in a module that is not loaded, or not be a hook of this kind",
        ),
        _on(
            r"is not modifiable|modify return codes|not allowed for fmod_ret|__noreturn",
            "this function does not accept that its return value is changed: use fentry or fexit",
        ),
        _on(
            r"Subprog \S+ doesn't exist|Cannot (?:replace|extend|nest|recursively)|"
            r"Extension program|Only FENTRY|can only be attached|Can attach to only|"
            r"Target program bound|cannot attach to|FENTRY/FEXIT|matching BPF|"
            r"address of function \S+ cannot be found",
            "the target does not accept this kind of attachment",
        ),
        _on(
            r"struct_ops|unsupported member|invalid member",
            "this kernel's struct has no such operation, or it cannot be implemented in BPF",
        ),
        _on(
            r"byte return value is not supported|multiple type tags|at most \d+ parameters|"
            r"freplace programs with|The function \S+ (?:has|return|with|arg)|has malformed void|"
            r"has \d+ args while|"
            r"doesn't match type|is not a global function|is not a pointer to context|"
            r"^arg\d+ (?:in )?\S+\(",
            "the program's signature does not fit the function it attaches to or replaces",
        ),
        _on(
            r"Syscall programs|Tracing programs", "the program's type and flags do not go together"
        ),
    ),
    *_rules(
        _C.BTF,
        _on(
            r"func[_ ]info|line_info|BTF section|func_proto|btf func|BTF of func#|"
            r"Global functions need valid BTF|Invalid type of function|without BTF",
            "the object's function or line records are missing or do not fit the code: compile"
            " with -g and do not strip .BTF and .BTF.ext",
        ),
        _on(
            r"BTF is required|valid kernel BTF|missing BTF|CONFIG_DEBUG_INFO_BTF|vmlinux is malf|"
            r"in-kernel BTF|btf_vmlinux",
            "the running kernel offers no BTF (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF=y)",
        ),
        _on(
            r"pseudo btf_id|invalid btf_id|btf_id|size of type '|BTF|magic$|kernel symbol '",
            "a type or symbol that the program names is not in the kernel's or the object's BTF",
        ),
        _on(
            r"^\[\d+\] (?:INT|PTR|ARRAY|STRUCT|UNION|ENUM|FWD|TYPEDEF|VOLATILE|CONST|RESTRICT|"
            r"FUNC|FUNC_PROTO|VAR|DATASEC|FLOAT|DECL_TAG|TYPE_TAG|ENUM64|UNKN|Invalid) ?",
            "the kernel does not accept the object's BTF; it may be newer than this kernel"
            " understands",
        ),
    ),
    *_rules(
        _C.INSTRUCTION,
        _on(
            r"div by zero|invalid shift",
            "a division by the constant 0, or a shift wider than the register: mend the constant",
        ),
        _on(
            r"stack args?\b|^r11 load must|fd_array_cnt|function name \S+ is too long|"
            r"uses reserved fields|unknown opcode|unknown insn class|invalid BPF_\w+|"
            r"BPF_ATOMIC uses|invalid atomic operand|invalid may_goto|invalid bpf_ld_imm64|"
            r"unrecognized bpf_ld_imm64|addr_space_cast|LD_IMM|cannot be mixed with|"
            r"insn \d+ cannot be|_IMM insn|sign extending loads",
            "the instruction is not valid for this kernel: it is damaged or newer than the"
            " kernel; compile for an older instruction set (-mcpu=v3, v2 or v1)",
        ),
    ),
    *_rules(
        _C.OUT_OF_BOUNDS,
        _on(
            r"(?:min|max) value is outside of the allowed memory range|is outside of the",
            "the access may lie outside the memory pointed to: " + _BOUNDS,
        ),
        weak=True,
    ),
    *_rules(
        _C.REFERENCE_LEAK,
        _on(
            r"would lead to (?:reference|dynptr memory) leak",
            "something acquired (a socket, a ring buffer record, a task) is not given back on"
            " this path: release, submit or discard it before every return",
        ),
        weak=True,
    ),
    *_rules(
        _C.GLOBAL_FUNCTION,
        _on(
            r"Caller passes invalid args into func#\d+(?: \('(?P<func>\w+)'\))?",
            "the function called is global: it gets only what its prototype promises; make it"
            " static to be checked together with its caller",
        ),
        weak=True,
    ),
)


def judge(complaint: list[str]) -> tuple[Category, str, dict[str, str]]:
    """Find category, hint and what the pattern caught."""
    fallback: tuple[Rule, re.Match[str]] | None = None
    for line in reversed(complaint):
        for rule in RULES:
            found = rule.pattern.search(line)
            if found is None:
                continue
            if not rule.weak:
                return _verdict(rule, found)
            fallback = fallback or (rule, found)
            break
    if fallback:
        return _verdict(*fallback)
    return Category.UNKNOWN, "", {}


def _verdict(rule: Rule, found: re.Match[str]) -> tuple[Category, str, dict[str, str]]:
    groups = {name.rstrip("2"): text for name, text in found.groupdict().items() if text}
    return rule.category, rule.hint.format_map(_Known(groups)), groups


class _Known(dict[str, str]):
    """Groups of a pattern; what it did not catch reads as "it"."""

    def __missing__(self, name: str) -> str:
        return "it"
