/*
 * no_uffd ERROR PROGRAM [ARGS]: runs a program for which there is no userfaultfd, as in many containers: the system call and
 * the request to /dev/userfaultfd fail with ERROR, EPERM or ENOSYS. It shares no memory itself.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { USERFAULTFD_IOC_NEW = 0xaa00 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))
#define END(action) BPF_STMT(BPF_RET | BPF_K, (action))

int main(int argc, char **argv)
{
    unsigned error = argc > 2 && strcmp(argv[1], "ENOSYS") == 0 ? ENOSYS : EPERM;
    struct sock_filter rules[] = {
        LOAD(nr),
        SKIP_UNLESS(SYS_userfaultfd, 1),
        END(SECCOMP_RET_ERRNO | error),
        SKIP_UNLESS(SYS_ioctl, 3),
        LOAD(args[1]),
        SKIP_UNLESS(USERFAULTFD_IOC_NEW, 1),
        END(SECCOMP_RET_ERRNO | error),
        END(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof rules / sizeof rules[0], rules};

    if (argc < 3) {
        fprintf(stderr, "usage: no_uffd EPERM|ENOSYS PROGRAM [ARGS]\n");
        return 64;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        perror("no_uffd: cannot install the filter");
        return 71;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
