/* A plugin of qemu-user that counts executed instructions by kind.

   Arguments: table=FILE (toolkit.isa.instructions.table: the number of kinds, then a row an encoding) and out=FILE.
   At each getpriority(0, MARK), and at the end, a line with the count of every kind so far is written to out.
   Interface 1 of QEMU's plugins (qemu-plugin.h of QEMU 4.2 to 8.2), declared here because no package has its header.
   Counters are shared by all threads and not locked: the guest's work must be one thread's. */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK 0x5a5a
#define MAX_KINDS 64
#define MAX_ROWS 128

typedef uint64_t plugin_id;
struct block;
struct instruction;
struct info {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
};
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
size_t qemu_plugin_tb_n_insns(const struct block *);
struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
const void *qemu_plugin_insn_data(const struct instruction *);
size_t qemu_plugin_insn_size(const struct instruction *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

static struct { uint32_t a, b, c; unsigned d; } rows[MAX_ROWS];
static size_t n_rows, n_kinds;
static uint64_t counts[MAX_KINDS];
static FILE *out;
static bool arm;
static int64_t getpriority_number;

static size_t kind_of_arm(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    for (size_t i = 0; i < n_rows; i++)
        if ((word & rows[i].a) == rows[i].b)
            return rows[i].d;
    return n_kinds - 1;
}

/* VEX (C4, C5), EVEX (62), and legacy SSE after the prefix 66: map and opcode, Intel SDM volume 2, 2.3, 2.6, 2.7. */
static bool decode_x86(const uint8_t *p, size_t size, unsigned *map, unsigned *opcode, bool *legacy)
{
    *legacy = false;
    if (size >= 4 && p[0] == 0xC5) {
        *map = 1, *opcode = p[2];
        return true;
    }
    if (size >= 5 && p[0] == 0xC4) {
        *map = p[1] & 0x1F, *opcode = p[3];
        return true;
    }
    if (size >= 6 && p[0] == 0x62) {
        *map = p[1] & 7, *opcode = p[4];
        return true;
    }
    if (size < 4 || p[0] != 0x66)
        return false;
    size_t i = (p[1] & 0xF0) == 0x40 ? 2 : 1; /* REX */
    if (p[i] != 0x0F || i + 2 >= size)
        return false;
    bool three = p[i + 1] == 0x38;
    *legacy = true, *map = three ? 2 : 1, *opcode = p[i + (three ? 2 : 1)];
    return true;
}

static size_t kind_of_x86(const uint8_t *bytes, size_t size)
{
    unsigned map, opcode;
    bool legacy;
    if (decode_x86(bytes, size, &map, &opcode, &legacy))
        for (size_t i = 0; i < n_rows; i++)
            if ((!rows[i].a || rows[i].a == map) && rows[i].b <= opcode && opcode <= rows[i].c && (!legacy || rows[i].d & 1))
                return rows[i].d >> 1;
    return n_kinds - 1;
}

static void on_translation(plugin_id id, struct block *block)
{
    (void)id;
    uint64_t found[MAX_KINDS] = {0};
    size_t n = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < n; i++) {
        struct instruction *each = qemu_plugin_tb_get_insn(block, i);
        const uint8_t *bytes = qemu_plugin_insn_data(each);
        found[arm ? kind_of_arm(bytes) : kind_of_x86(bytes, qemu_plugin_insn_size(each))]++;
    }
    for (size_t kind = 0; kind < n_kinds; kind++)
        if (found[kind])
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts[kind], found[kind]);
}

static void write_counts(void)
{
    for (size_t kind = 0; kind < n_kinds; kind++)
        fprintf(out, "%s%" PRIu64, kind ? " " : "", counts[kind]);
    fputc('\n', out);
    fflush(out);
}

static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == getpriority_number && a1 == 0 && a2 == MARK)
        write_counts();
}

static void at_end(plugin_id id, void *nothing)
{
    (void)id, (void)nothing;
    write_counts();
    fclose(out);
}

static int read_table(const char *path)
{
    FILE *table = fopen(path, "r");
    if (!table || fscanf(table, "%zu", &n_kinds) != 1 || n_kinds < 1 || n_kinds > MAX_KINDS)
        return -1;
    while (n_rows < MAX_ROWS
           && fscanf(table, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %u", &rows[n_rows].a, &rows[n_rows].b, &rows[n_rows].c,
                     &rows[n_rows].d) == 4)
        n_rows++;
    bool whole = feof(table);
    fclose(table);
    return whole ? 0 : -1;
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    arm = !strcmp(info->target_name, "aarch64");
    getpriority_number = arm ? 141 : 140;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "table=", 6) && read_table(argv[i] + 6))
            return -1;
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    }
    if (!out || !n_rows)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, at_end, NULL);
    return 0;
}
