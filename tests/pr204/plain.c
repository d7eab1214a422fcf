/*
 * plain: a program that knows nothing of dsm. Prints its arguments and the variables a launcher may have set, reads nothing.
 */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static const char *const names[] = {"DSMEXEC_FD",      "MASTER_FD",     "DSMEXEC_HOSTNAME",
                                        "DSMEXEC_PORTNUM", "DSMEXEC_RANKID", "DSMEXEC_RANKNUM"};
    size_t i;
    int k;

    for (k = 1; k < argc; k++)
        printf("argument %d: %s\n", k, argv[k]);
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i]) != NULL)
            printf("%s=%s\n", names[i], getenv(names[i]));
    return 0;
}
