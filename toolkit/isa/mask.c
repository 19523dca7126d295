/* Answers the cpuid instructions of a patched onnxruntime as a CPU without AVX-512, VNNI, AVX-VNNI and AMX would.
 *
 * toolkit/isa/masked.py replaced each `cpuid` (0F A2) of a private copy by AAA AAS (37 3F), which no 64-bit program
 * has and which raises SIGILL. An UD2 that a library has of its own stays what it is. Loaded by LD_PRELOAD.
 * Bits: Intel SDM vol. 2A, CPUID, leaf 07H; AMD APM vol. 3, appendix E. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#define BIT(n) (1u << (n))

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);

static sigaction_function *real_sigaction;
static struct sigaction theirs; /* what the program itself wants to happen on SIGILL */

struct registers {
    uint32_t eax, ebx, ecx, edx;
};

static void hide(uint32_t leaf, uint32_t subleaf, struct registers *r)
{
    if (leaf == 7 && subleaf == 0) {
        r->ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* AVX512 F DQ IFMA
                                                                                          PF ER CD BW VL */
        r->ecx &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)); /* AVX512 VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
        r->edx &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25)); /* AVX512 4VNNIW 4FMAPS
                                                              VP2INTERSECT, AMX-BF16, AVX512-FP16, AMX-TILE, AMX-INT8 */
    }
    if (leaf == 7 && subleaf == 1) {
        r->eax &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA */
        r->edx &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19) | BIT(21)); /* AVX-VNNI-INT8, AVX-NE-CONVERT,
                                                                   AMX-COMPLEX, AVX-VNNI-INT16, AVX10, APX */
    }
    if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) /* AMX tiles, AMX TMUL, AVX10 */
        *r = (struct registers){0, 0, 0, 0};
}

static void on_sigill(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)registers[REG_RIP];

    int raised = info->si_code <= 0; /* by kill() or raise(), not by an instruction */

    if (!raised && at[0] == 0x37 && at[1] == 0x3f) {
        uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX];
        struct registers r = {leaf, 0, subleaf, 0};
        __asm__ volatile("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
        hide(leaf, subleaf, &r);
        registers[REG_RAX] = r.eax;
        registers[REG_RBX] = r.ebx;
        registers[REG_RCX] = r.ecx;
        registers[REG_RDX] = r.edx;
        registers[REG_RIP] += 2;
    } else if (theirs.sa_flags & SA_SIGINFO) {
        theirs.sa_sigaction(number, info, context);
    } else if (theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN) {
        theirs.sa_handler(number);
    } else if (!raised || theirs.sa_handler == SIG_DFL) { /* ends the program as it would have without us */
        struct sigaction fallback = {.sa_handler = SIG_DFL};
        real_sigaction(SIGILL, &fallback, NULL);
        raise(SIGILL);
    }
}

/* A program that sets its own SIGILL handler (Python's faulthandler does) gets it called after ours. */
int sigaction(int number, const struct sigaction *wanted, struct sigaction *before)
{
    if (!real_sigaction)
        real_sigaction = (sigaction_function *)dlsym(RTLD_NEXT, "sigaction");
    if (number != SIGILL)
        return real_sigaction(number, wanted, before);
    struct sigaction old = theirs;
    if (wanted)
        theirs = *wanted;
    if (before)
        *before = old;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler)
{
    struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    sigemptyset(&wanted.sa_mask);
    return sigaction(number, &wanted, &before) ? SIG_ERR : before.sa_handler;
}

__attribute__((constructor)) static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    real_sigaction = (sigaction_function *)dlsym(RTLD_NEXT, "sigaction");
    if (!real_sigaction || real_sigaction(SIGILL, &ours, NULL))
        abort();
}
